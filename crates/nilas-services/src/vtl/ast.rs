//! Templates as trees.

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Reference(Reference),
    Set {
        target: Reference,
        value: Expression,
    },
    /// Condition and body of `#if` and each `#elseif`, and the body of `#else`.
    If {
        branches: Vec<(Expression, Vec<Self>)>,
        otherwise: Vec<Self>,
    },
    Foreach {
        variable: String,
        items: Expression,
        body: Vec<Self>,
    },
    Define {
        variable: String,
        body: Vec<Self>,
    },
    Macro {
        name: String,
        parameters: Vec<String>,
        body: Vec<Self>,
    },
    /// A call of a macro; rendered as it is written if there is none of that name.
    Call {
        name: String,
        arguments: Vec<Expression>,
        source: String,
    },
    Break,
    Stop,
}

/// `$name.part(…)[…]`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) parts: Vec<Part>,
    /// `$!name`: nothing is written for a value that is not there.
    pub(super) quiet: bool,
    /// As it is written: what is rendered for a value that is not there.
    pub(super) source: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Property(String),
    Method(String, Vec<Expression>),
    Index(Expression),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// A text in double quotes, which holds references.
    Template(Vec<Node>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Range(Box<Self>, Box<Self>),
    Reference(Reference),
    Not(Box<Self>),
    Minus(Box<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}
