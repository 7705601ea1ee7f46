//! Every limit, with its unit in its name. AWS's own values are the defaults; see
//! <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.

/// Largest synchronous invocation request, bytes.
pub const SYNC_PAYLOAD_BYTES_MAX: usize = 6_291_456;
/// Largest synchronous invocation response, bytes. AWS's message for it says 6291556: 100 bytes more than the request.
pub const SYNC_RESPONSE_BYTES_MAX: usize = 6_291_556;
/// Largest response that is streamed, bytes: 200 MB; see "Response streaming for Lambda functions".
pub const STREAMED_RESPONSE_BYTES_MAX: usize = 209_715_200;
/// Largest part of a streamed response that is handed on at once, bytes.
pub const STREAM_PIECE_BYTES_MAX: usize = 65_536;
/// Parts of a streamed response that wait for a caller who takes them slowly.
pub const STREAM_PIECES_MAX: usize = 4;
/// Silence of a backend after which an answer that an API streams breaks off, and how long it may take at all,
/// milliseconds; see "Stream the integration response for your proxy integrations in API Gateway".
pub const STREAM_IDLE_MS_MAX: u64 = 300_000;
pub const STREAM_MS_MAX: u64 = 900_000;
/// Largest status and headers in front of a response that is streamed over HTTP, bytes; see "Set up a Lambda proxy
/// integration with payload response streaming in API Gateway".
pub const STREAM_PRELUDE_BYTES_MAX: usize = 16_384;
/// Largest request and answer of an API in front of functions, bytes; see "Amazon API Gateway quotas".
pub const API_PAYLOAD_BYTES_MAX: usize = 10_485_760;
/// Resources and stages of one API; see "Amazon API Gateway quotas".
pub const API_RESOURCES_MAX: usize = 300;
pub const API_STAGES_MAX: usize = 10;
/// Deployments of one API. AWS names no figure; each is a copy of it.
pub const API_DEPLOYMENTS_MAX: usize = 1_000;
/// API keys, usage plans and custom domain names of an account in a region.
pub const API_KEYS_MAX: usize = 10_000;
pub const USAGE_PLANS_MAX: usize = 300;
pub const CUSTOM_DOMAINS_MAX: usize = 120;
/// Of one custom domain.
pub const API_MAPPINGS_MAX: usize = 200;
/// Calls of HTTP backends at once, and idle connections kept to each of them.
pub const API_BACKEND_CALLS_MAX: usize = 1_000;
pub const API_BACKEND_CONNECTIONS_IDLE_MAX: usize = 32;
/// HTTP APIs of all accounts and regions together; AWS's quota is 600 of a region.
pub const HTTP_APIS_MAX: usize = 10_000;
/// Routes, integrations and authorizers of one HTTP API together; AWS's quotas are 300, 300 and 10.
pub const HTTP_API_PARTS_MAX: usize = 1_000;
/// A message of a WebSocket's, one frame of it, bytes.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 131_072;
pub const WEBSOCKET_FRAME_BYTES_MAX: usize = 32_768;
/// Clients of WebSocket APIs at once.
pub const WEBSOCKET_CONNECTIONS_MAX: usize = 2_000;
/// Messages to one client that wait to be sent, and bytes to all of them.
pub const WEBSOCKET_QUEUED_MESSAGES_MAX: usize = 64;
pub const WEBSOCKET_QUEUED_BYTES_MAX: usize = 67_108_864;
/// Messages of one client that functions work at; more are not read meanwhile.
pub const WEBSOCKET_MESSAGES_AT_WORK_MAX: usize = 16;
/// How long a client may be silent, and connected at all, seconds.
pub const WEBSOCKET_IDLE_S_MAX: u64 = 600;
pub const WEBSOCKET_LIFE_S_MAX: u64 = 7_200;
/// Largest asynchronous invocation request, bytes.
pub const ASYNC_PAYLOAD_BYTES_MAX: usize = 1_048_576;
/// Largest deployment package sent in a request, bytes, zipped.
pub const ZIPPED_BYTES_MAX: u64 = 52_428_800;
/// Largest deployment package with its layers, bytes, unzipped.
pub const UNZIPPED_BYTES_MAX: u64 = 262_144_000;
/// Most entries in a deployment package. AWS names no figure; this one bounds the inodes an archive can take.
pub const PACKAGE_ENTRIES_MAX: usize = 100_000;
/// Deepest path in a deployment package, names.
pub const PACKAGE_DEPTH_MAX: usize = 64;
/// Packages checked or unpacked at once: each takes a core and its archive's size in memory.
pub const PACKAGES_AT_ONCE_MAX: usize = 2;
/// Largest CreateFunction or UpdateFunctionCode request body, bytes.
pub const CONTROL_BODY_BYTES_MAX: usize = 70_167_211;
/// Environment variables of a function, bytes of their compact JSON.
pub const ENVIRONMENT_BYTES_MAX: usize = 4_096;

/// Code of all functions of an account in a region, bytes, zipped.
pub const TOTAL_CODE_BYTES_MAX: u64 = 80_530_636_800;
/// Characters of a function's bare name.
pub const FUNCTION_NAME_CHARS_MAX: usize = 64;

/// Memory of a function, MiB.
pub const MEMORY_MIB_MIN: u32 = 128;
pub const MEMORY_MIB_MAX: u32 = 10_240;
/// Memory that buys one whole CPU, MiB.
pub const MEMORY_MIB_PER_CPU: u32 = 1_769;
/// Timeout of a function, seconds.
pub const TIMEOUT_S_MIN: u32 = 1;
pub const TIMEOUT_S_MAX: u32 = 900;
pub const TIMEOUT_S_DEFAULT: u32 = 3;
/// `/tmp` of a function, MiB.
pub const EPHEMERAL_MIB_MIN: u32 = 512;
pub const EPHEMERAL_MIB_MAX: u32 = 10_240;
/// Tags of one resource.
pub const TAGS_MAX: usize = 50;
/// Source text in a template, bytes; see "AWS::Lambda::Function Code".
pub const INLINE_CODE_BYTES_MAX: usize = 4_194_304;
/// Time a stack waits for a function or version to be ready, milliseconds; and between two looks.
pub const FUNCTION_STABLE_MS_MAX: u64 = 600_000;
pub const FUNCTION_POLL_MS: u64 = 20;
/// Aliases of one function. AWS names no figure; they share their function's record.
pub const ALIASES_MAX: usize = 1_000;
/// Resource policy of one function, version, alias or layer version, bytes.
pub const POLICY_BYTES_MAX: usize = 20_480;
/// Layers of one function.
pub const LAYERS_MAX: usize = 5;

/// Concurrent executions of the account.
pub const CONCURRENT_EXECUTIONS_DEFAULT: u32 = 1_000;
/// Init phase, milliseconds; see "Lambda execution environment lifecycle".
pub const INIT_MS_MAX: u64 = 10_000;
/// Time between a package's last use and its removal, at least, milliseconds; also between two looks whether it is
/// still in use.
pub const GARBAGE_SWEEP_MS: u64 = 1_000;
/// Time an invocation waits for a version that is still being unpacked, milliseconds.
pub const INVOKE_PENDING_MS_MAX: u64 = 10_000;
/// Time the answer to a deployment waits for the new version to be ready, milliseconds.
pub const SETTLE_BEFORE_ANSWER_MS_MAX: u64 = 250;
/// Grace for a runtime with extensions at shutdown, milliseconds.
pub const SHUTDOWN_MS_MAX: u64 = 2_000;
/// Idle time after which an environment is stopped, milliseconds.
pub const IDLE_MS_MAX_DEFAULT: u64 = 300_000;
/// Age after which an environment is stopped once idle, milliseconds.
pub const AGE_MS_MAX_DEFAULT: u64 = 4 * 3_600_000;
/// Idle time before an environment is frozen, milliseconds: a busy one never pays for a freeze.
pub const FREEZE_AFTER_MS_DEFAULT: u64 = 5;

/// Processes and threads of one environment, as AWS's RLIMIT_NPROC is 742 less what the platform runs.
pub const PROCESSES_MAX: u32 = 1_024;
/// Open files of one environment.
pub const FILES_MAX: u64 = 1_024;

/// Decoded `X-Amz-Client-Context`, bytes.
pub const CLIENT_CONTEXT_BYTES_MAX: usize = 3_583;
/// Items of one page of a list, whatever the caller asks for.
pub const LIST_ITEMS_MAX: usize = 50;

/// Log tail returned by Invoke with LogType=Tail, bytes.
pub const LOG_TAIL_BYTES_MAX: usize = 4_096;
/// One log event, bytes; a longer line is cut into several events. CloudWatch takes 1 MiB events.
pub const LOG_EVENT_BYTES_MAX: usize = 262_144;

/// Body of a Runtime API request other than a response, bytes.
pub const RUNTIME_API_ERROR_BYTES_MAX: usize = 262_144;

/// Connections to one environment's Runtime API; a runtime keeps one or two.
pub const RUNTIME_API_CONNECTIONS_MAX: usize = 16;
/// Headers of one Runtime API request.
pub const RUNTIME_API_HEADERS_MAX: usize = 100;
/// Log output one environment may write in a burst, bytes; what goes over it is dropped and counted.
pub const LOG_BURST_BYTES_MAX: u64 = 16 * 1_048_576;
/// Log output one environment may write for long, bytes per second.
pub const LOG_BYTES_PER_S_MAX: u64 = 4 * 1_048_576;
/// Invocations that wait for an environment to start or to come back: of all functions, and of one. AWS starts at most
/// 1,000 environments of a function in ten seconds; see "Lambda scaling behavior".
pub const LEASE_WAITERS_MAX: usize = 10_000;
pub const FUNCTION_WAITERS_MAX: usize = 1_000;
/// Environments that start at once; more would only slow each other down. One function has at most half of them.
pub const STARTS_MAX: usize = 64;
/// How long an invocation waits for memory that busy environments hold, milliseconds; then it is throttled.
pub const MEMORY_WAIT_MS_MAX: u64 = 10_000;
/// Memory sizes of busy environments together, in hundredths of the memory there is: few functions use all of theirs.
pub const MEMORY_OVERCOMMIT_PERCENT_DEFAULT: u32 = 400;
/// What the kernel keeps for an environment besides what its group is charged with: page tables, namespaces, mounts, the
/// group itself, a network; bytes. `cargo xtask density` shows it.
pub const ENVIRONMENT_KERNEL_BYTES: u64 = 2 * 1_048_576;
/// Concurrency that stays for functions without a reservation, of what the account has.
pub const UNRESERVED_CONCURRENCY_MIN: u32 = 100;
/// Init of a provisioned environment, milliseconds; the function's own timeout if that is longer.
pub const PROVISIONED_INIT_MS_MAX: u64 = 130_000;
/// Restore of an environment from a snapshot, its hooks included, milliseconds; see "Lambda SnapStart", "Runtime hooks".
pub const RESTORE_MS_MAX: u64 = 10_000;
/// Processes kept to restore environments from; the one used longest ago goes first.
pub const TEMPLATES_MAX: usize = 256;
/// Between a provisioned environment that did not start and the next try, milliseconds.
pub const PROVISION_RETRY_MS: u64 = 60_000;

/// Header bytes of one request.
pub const HEADER_BYTES_MAX: usize = 65_536;
/// Connections open at once.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Time a client may take to send its headers, milliseconds.
pub const HEADER_READ_MS_MAX: u64 = 30_000;
/// Silence of a client in the middle of a request's body, milliseconds.
pub const BODY_READ_MS_MAX: u64 = 30_000;
/// Bytes of request bodies held in memory at once, all connections of the machine together.
pub const BUFFERED_BODY_BYTES_MAX: usize = 536_870_912;
/// The same for the endpoints inside environments, all together, so that functions cannot starve people.
pub const BUFFERED_ENVIRONMENT_BODY_BYTES_MAX: usize = 268_435_456;
/// The same for the endpoint inside one environment, so that one function cannot starve the others. It is also the
/// largest request from inside.
pub const BUFFERED_ONE_ENVIRONMENT_BODY_BYTES_MAX: usize = 16 * 1_048_576;
/// Connections to the endpoint inside one environment, and to all such endpoints together: each takes a descriptor.
pub const ENVIRONMENT_CONNECTIONS_MAX: usize = 64;
pub const ALL_ENVIRONMENTS_CONNECTIONS_MAX: usize = 8_192;
/// Requests at once on one HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 128;

/// One record of the store, bytes; and its key.
pub const RECORD_BYTES_MAX: usize = 4_194_304;
pub const RECORD_KEY_BYTES_MAX: usize = 2_048;
/// Record writes that wait for the writer, and those it puts into one transaction.
pub const RECORD_WRITES_QUEUED_MAX: usize = 1_024;
pub const RECORD_WRITES_PER_COMMIT_MAX: usize = 256;
/// Attempts after the first that an event's function may fail in.
pub const ASYNC_RETRIES_MAX: u32 = 2;
/// Age at which an event is given up, seconds.
pub const ASYNC_AGE_S_MIN: u32 = 60;
pub const ASYNC_AGE_S_MAX: u32 = 21_600;
/// Events of a function that are shown.
pub const ADMIN_EVENTS_LISTED_MAX: usize = 100;
/// How far virtual time can be ahead of the machine's, milliseconds.
pub const CLOCK_AHEAD_MS_MAX: u64 = 10 * 365 * 86_400_000;
/// Events of all functions that are run at once.
pub const ASYNC_EVENTS_RUNNING_MAX: usize = 1_000;
/// Deliveries to other services that are made at once.
pub const DELIVERIES_AT_ONCE_MAX: usize = 64;
/// Deliveries to HTTP endpoints of topics that are made at once.
pub const HTTP_DELIVERIES_AT_ONCE_MAX: usize = 64;
/// Topics of SNS, and their subscriptions, of all accounts and regions.
pub const SNS_TOPICS_MAX: usize = 10_000;
pub const SNS_SUBSCRIPTIONS_MAX: usize = 100_000;
/// Subscriptions of one topic, since each is a delivery of each message.
pub const SNS_SUBSCRIPTIONS_OF_TOPIC_MAX: usize = 1_000;
/// A message of SNS with its attributes, and all of a batch, bytes.
pub const SNS_MESSAGE_BYTES_MAX: usize = 262_144;
pub const SNS_BATCH_ENTRIES_MAX: usize = 10;
/// Keys of a filter policy, and what the numbers of their values make when multiplied.
pub const SNS_FILTER_KEYS_MAX: usize = 5;
pub const SNS_FILTER_COMBINATIONS_MAX: usize = 150;
pub const SNS_TAGS_MAX: usize = 50;
/// Queues of SQS, of all accounts and regions.
pub const SQS_QUEUES_MAX: usize = 10_000;
/// A message of SQS with its attributes, and all of a batch, bytes.
pub const SQS_MESSAGE_BYTES_MAX: usize = 1_048_576;
pub const SQS_MESSAGE_ATTRIBUTES_MAX: usize = 10;
pub const SQS_BATCH_ENTRIES_MAX: usize = 10;
/// Messages that one ReceiveMessage answers.
pub const SQS_RECEIVE_MAX: usize = 10;
/// Messages of a queue that were received and not deleted yet.
pub const SQS_IN_FLIGHT_MAX: usize = 120_000;
/// Event source mappings of an account in a region. AWS names no figure; each has a task of its own.
pub const MAPPINGS_MAX: usize = 1_000;
/// Filters of an event source mapping, and characters of each.
pub const MAPPING_FILTERS_MAX: usize = 5;
pub const MAPPING_FILTER_CHARS_MAX: usize = 4_096;
/// Events that event source mappings collect or run, of all together, KiB.
pub const MAPPING_EVENTS_KIB_MAX: usize = 262_144;
/// Messages in all queues together, and of each the body, the note and the name of its group, bytes.
pub const QUEUE_MESSAGES_MAX: u64 = 4_000_000;
pub const QUEUE_BODY_BYTES_MAX: usize = 4_194_304;
pub const QUEUE_NOTE_BYTES_MAX: usize = 16_384;
pub const QUEUE_GROUP_BYTES_MAX: usize = 512;
/// A queue's name, bytes.
pub const QUEUE_NAME_BYTES_MAX: usize = 2_048;
/// Bodies of waiting messages kept in memory, bytes; others are read from disk when they are due.
pub const QUEUE_BODIES_CACHED_BYTES_MAX: usize = 67_108_864;
/// Writes of messages that wait for the writer, and those it puts into one transaction.
pub const QUEUE_WRITES_QUEUED_MAX: usize = 8_192;
pub const QUEUE_WRITES_PER_COMMIT_MAX: usize = 4_096;
/// Commits a watcher of records may lag behind before it is told to list again.
pub const WATCH_COMMITS_MAX: usize = 1_024;
/// Connections that read one database at once.
pub const STORE_READERS_MAX: usize = 4;
/// Blobs written or read at once.
pub const BLOB_JOBS_MAX: usize = 4;

/// Template of a stack sent in a request, and read from S3, bytes.
pub const TEMPLATE_BODY_BYTES_MAX: usize = 51_200;
pub const TEMPLATE_URL_BYTES_MAX: u64 = 1_048_576;
/// Entries of a template's sections; see "CloudFormation quotas".
pub const TEMPLATE_RESOURCES_MAX: usize = 500;
pub const TEMPLATE_PARAMETERS_MAX: usize = 200;
pub const TEMPLATE_OUTPUTS_MAX: usize = 200;
/// A parameter's value, bytes.
pub const TEMPLATE_PARAMETER_BYTES_MAX: usize = 4_096;
/// Values that the loops of one template may write out.
pub const TEMPLATE_LOOP_NODES_MAX: usize = 200_000;
/// Resources of one stack that are made, changed or deleted at once.
pub const STACK_STEPS_AT_ONCE_MAX: usize = 32;
/// Stacks that are not deleted, of one region. AWS's own default.
pub const STACKS_MAX: usize = 2_000;
/// How long the answer to an operation on a stack waits for its end, milliseconds: clients sleep 5 to 30 s before
/// they look again.
pub const STACK_ANSWER_MS_MAX: u64 = 4_000;

/// Log events that wait to be written; more are dropped and counted.
pub const LOG_EVENTS_QUEUED_MAX: usize = 100_000;
pub const LOG_BYTES_QUEUED_MAX: usize = 64 * 1_048_576;
/// The part of both that one group may take, so that one function's flood costs no other function's events.
pub const LOG_GROUP_QUEUE_PARTS: usize = 4;
/// Streams whose dropped events are counted apart.
pub const LOG_DROP_COUNTERS_MAX: usize = 1_024;
/// Changes and single writes of logs that wait for the writer.
pub const LOG_CHANGES_QUEUED_MAX: usize = 256;
/// How long appended events wait for others to share a commit, milliseconds.
pub const LOG_LINGER_MS: u64 = 10;
/// All logs on disk, bytes; beyond it the oldest events go.
pub const LOG_STORE_BYTES_MAX_DEFAULT: u64 = 2 * 1_073_741_824;
pub const LOG_GROUPS_MAX: u64 = 100_000;
pub const LOG_STREAMS_MAX: u64 = 1_000_000;

/// Roles and managed policies of one account.
pub const IAM_ROLES_MAX: usize = 1_000;
pub const IAM_POLICIES_MAX: usize = 1_500;
/// Managed policies on one role; AWS's default is 10, and an account may ask for 20.
pub const IAM_ATTACHED_POLICIES_MAX: usize = 20;
/// Versions of one managed policy.
pub const IAM_POLICY_VERSIONS_MAX: usize = 5;
/// Tags of one role or policy.
pub const IAM_TAGS_MAX: usize = 50;
/// Characters of policies without white space: of one managed policy, of all of a role's own together, of one trust
/// policy.
pub const IAM_POLICY_CHARS_MAX: usize = 6_144;
pub const IAM_INLINE_POLICIES_CHARS_MAX: usize = 10_240;
pub const IAM_TRUST_POLICY_CHARS_MAX: usize = 4_096;

const _: () = assert!(FUNCTION_WAITERS_MAX < LEASE_WAITERS_MAX);
const _: () = assert!(LOG_EVENT_BYTES_MAX < LOG_BYTES_QUEUED_MAX);
const _: () = assert!(SYNC_PAYLOAD_BYTES_MAX < SYNC_RESPONSE_BYTES_MAX);
const _: () = assert!(ZIPPED_BYTES_MAX < UNZIPPED_BYTES_MAX);
/// Bytes of an object that one answer has. AWS has no such limit; here an answer is in memory as a whole.
pub const S3_GET_BYTES_MAX: u64 = 536_870_912;
/// Smallest part of an upload but the last, bytes; and the highest number of a part.
pub const S3_PART_BYTES_MIN: u64 = 5 * 1_048_576;
pub const S3_PART_NUMBER_MAX: i32 = 10_000;
/// User metadata of an object, bytes of names and values.
pub const S3_METADATA_BYTES_MAX: usize = 2_048;
/// Tags of an object, and characters of their keys and values.
pub const S3_OBJECT_TAGS_MAX: usize = 10;
pub const S3_TAG_KEY_CHARS_MAX: usize = 128;
pub const S3_TAG_VALUE_CHARS_MAX: usize = 256;
/// Keys that one listing answers, and that one DeleteObjects names.
pub const S3_KEYS_MAX: usize = 1_000;
/// Objects of one DeleteObjects that are deleted at once.
pub const S3_DELETES_AT_ONCE_MAX: usize = 64;
/// Times that a change of an object is tried before somebody else's changes win.
pub const S3_COMMIT_TRIES_MAX: usize = 64;
/// A bucket policy, bytes.
pub const S3_POLICY_BYTES_MAX: usize = 20_480;

const _: () = assert!(LOG_TAIL_BYTES_MAX < LOG_EVENT_BYTES_MAX);
const _: () = assert!(SYNC_PAYLOAD_BYTES_MAX < BUFFERED_ONE_ENVIRONMENT_BODY_BYTES_MAX);
const _: () =
    assert!(BUFFERED_ONE_ENVIRONMENT_BODY_BYTES_MAX < BUFFERED_ENVIRONMENT_BODY_BYTES_MAX);
const _: () = assert!(ENVIRONMENT_CONNECTIONS_MAX < ALL_ENVIRONMENTS_CONNECTIONS_MAX);

/// Parameters of one account and region; their versions, of which the oldest go; labels of a version. As AWS's.
pub const SSM_PARAMETERS_MAX: usize = 10_000;
pub const SSM_VERSIONS_MAX: usize = 100;
pub const SSM_LABELS_MAX: usize = 10;
/// Tags of a parameter, a secret or a key. AWS's own limit.
pub const RESOURCE_TAGS_MAX: usize = 50;
/// Repositories of one account and region, and bytes of a policy of one.
pub const ECR_REPOSITORIES_MAX: usize = 10_000;
pub const ECR_TEXT_BYTES_MAX: usize = 30_720;
/// Secrets of one account and region, and bytes of a secret value. AWS has 500,000 of them.
pub const SECRETS_MAX: usize = 10_000;
pub const SECRET_BYTES_MAX: usize = 65_536;
/// Keys, and aliases, of one account and region; and bytes of a key's policy.
pub const KMS_KEYS_MAX: usize = 10_000;
pub const KMS_POLICY_BYTES_MAX: usize = 32_768;
/// Staging labels of a secret; and versions without one that are still kept, of which AWS keeps more.
pub const SECRET_STAGES_MAX: usize = 20;
pub const SECRET_VERSIONS_UNLABELLED_MAX: usize = 10;

const _: () = assert!(
    (SECRET_STAGES_MAX + SECRET_VERSIONS_UNLABELLED_MAX + 1) * SECRET_BYTES_MAX * 16 / 9
        < RECORD_BYTES_MAX
);
