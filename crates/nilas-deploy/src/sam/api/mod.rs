//! `AWS::Serverless::Api` and `AWS::Serverless::HttpApi`.

mod authorizer;
mod cors;
pub(super) mod domain;
pub(super) mod editor;
pub(super) mod finish;
pub(super) mod http;
mod http_authorizer;
pub(super) mod openapi;
pub(super) mod rest;
mod security;
pub(super) mod swagger;
pub(super) mod usage_plan;
