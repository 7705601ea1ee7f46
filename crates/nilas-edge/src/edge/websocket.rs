//! WebSockets with clients of users' APIs: the protocol is here, what messages mean is the session's.

use std::pin::pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use nilas_model::limits;
use nilas_services::front::{FrontRequest, Outgoing, Session};
use nilas_wire::ApiResponse;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::debug;

use crate::backend::Backend;

/// How long a client may take to read what it is sent, and to change the protocol.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(10);
const IDLE_MAX: Duration = Duration::from_secs(limits::WEBSOCKET_IDLE_S_MAX);
const LIFE_MAX: Duration = Duration::from_secs(limits::WEBSOCKET_LIFE_S_MAX);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A connection that is to become a WebSocket.
pub(super) struct Upgrade {
    upgraded: OnUpgrade,
    accept: String,
}

/// Why a connection ended, as `$disconnect` is told.
struct End {
    status: u16,
    reason: String,
}

/// What a request needs to become a WebSocket, if it asks for that.
pub(super) fn upgrade(request: &mut http::Request<Incoming>) -> Option<Upgrade> {
    let headers = request.headers();
    let asks = lists(headers, header::CONNECTION, "upgrade")
        && lists(headers, header::UPGRADE, "websocket")
        && lists(headers, header::SEC_WEBSOCKET_VERSION, "13");
    if !asks {
        return None;
    }
    let accept = derive_accept_key(headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes());
    Some(Upgrade { upgraded: hyper::upgrade::on(request), accept })
}

/// Whether a header has `item` in its list.
fn lists(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| known.trim().eq_ignore_ascii_case(item))
}

/// Asks whether the client may, and if it may talks with it in the background.
pub(super) async fn open<B: Backend>(
    backend: &B,
    request: FrontRequest,
    upgrade: Upgrade,
) -> ApiResponse {
    let session = match backend.connect(request).await {
        Ok(session) => session,
        Err(answer) => return answer,
    };
    let mut response = ApiResponse::empty(StatusCode::SWITCHING_PROTOCOLS);
    response.set_header("connection", "Upgrade");
    response.set_header("upgrade", "websocket");
    response.set_header("sec-websocket-accept", &upgrade.accept);
    if let Some(subprotocol) = &session.subprotocol {
        response.set_header("sec-websocket-protocol", subprotocol);
    }
    // It lives as long as the connection, not as the request; the session bounds how many there are.
    tokio::spawn(run(upgrade.upgraded, session));
    response
}

async fn run(upgraded: OnUpgrade, mut session: Session) {
    let end = match timeout(CLIENT_TIME_MAX, upgraded).await {
        Ok(Ok(upgraded)) => {
            let config = WebSocketConfig::default()
                .max_message_size(Some(limits::WEBSOCKET_MESSAGE_BYTES_MAX))
                .max_frame_size(Some(limits::WEBSOCKET_FRAME_BYTES_MAX))
                .max_write_buffer_size(4 * limits::WEBSOCKET_MESSAGE_BYTES_MAX);
            let io = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
            converse(socket, &mut session).await
        }
        _ => End::broken(),
    };
    debug!(status = end.status, reason = end.reason, "WebSocket ended");
    session.disconnect(end.status, &end.reason).await;
}

/// Reads and writes until either side is done.
async fn converse(mut socket: Socket, session: &mut Session) -> End {
    let mut at_work: JoinSet<Option<String>> = JoinSet::new();
    let (mut life, mut idle) = (pin!(sleep(LIFE_MAX)), pin!(sleep(IDLE_MAX)));
    let end = loop {
        let text = tokio::select! {
            () = life.as_mut() => break close(&mut socket, CloseCode::Away, "Going away").await,
            () = idle.as_mut() => break close(&mut socket, CloseCode::Away, "Going away").await,
            Some(done) = at_work.join_next(), if !at_work.is_empty() => done.ok().flatten(),
            outgoing = session.outgoing.recv() => match outgoing {
                Some(Outgoing::Text { text, held }) => {
                    let sent = send(&mut socket, text).await;
                    drop(held);
                    if !sent {
                        break End::broken();
                    }
                    idle.set(sleep(IDLE_MAX));
                    None
                }
                Some(Outgoing::Close) | None => {
                    break close(&mut socket, CloseCode::Normal, "Connection Closed Normally").await;
                }
            },
            read = socket.next(), if at_work.len() < limits::WEBSOCKET_MESSAGES_AT_WORK_MAX => {
                idle.set(sleep(IDLE_MAX));
                session.touch();
                match read {
                    Some(Ok(Message::Text(text))) => {
                        at_work.spawn(session.message(text.as_str().to_owned()));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    read => break ended(&mut socket, read).await,
                }
                None
            }
        };
        if let Some(text) = text
            && !send(&mut socket, text).await
        {
            break End::broken();
        }
    };
    // Functions run to their end even if nobody is left to tell.
    at_work.detach_all();
    end
}

/// The end that a client's frame, or its silence, means.
async fn ended(socket: &mut Socket, read: Option<Result<Message, Error>>) -> End {
    match read {
        Some(Ok(Message::Close(frame))) => {
            // Sends the answer to the client's frame.
            let closing = timeout(CLIENT_TIME_MAX, socket.close(None)).await;
            debug!(answered = closing.is_ok(), "client closed");
            let reason = "Client-side close frame status not set";
            let none = || End { status: CloseCode::Status.into(), reason: reason.to_owned() };
            frame.map_or_else(none, |frame| End {
                status: frame.code.into(),
                reason: frame.reason.as_str().to_owned(),
            })
        }
        Some(Ok(_)) => close(socket, CloseCode::Unsupported, "Binary is not supported").await,
        Some(Err(Error::Capacity(_))) => close(socket, CloseCode::Size, "Message too long").await,
        Some(Err(_)) | None => End::broken(),
    }
}

async fn send(socket: &mut Socket, text: String) -> bool {
    matches!(timeout(CLIENT_TIME_MAX, socket.send(Message::text(text))).await, Ok(Ok(())))
}

async fn close(socket: &mut Socket, code: CloseCode, reason: &'static str) -> End {
    let frame = CloseFrame { code, reason: reason.into() };
    let closing = async {
        socket.close(Some(frame)).await?;
        // The client's own frame ends it; until then it may still be reading.
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, Error>(())
    };
    let closed = timeout(CLIENT_TIME_MAX, closing).await;
    debug!(in_time = closed.is_ok(), "WebSocket closed");
    End { status: code.into(), reason: reason.to_owned() }
}

impl End {
    fn broken() -> Self {
        let reason = "Connection closed abnormally".to_owned();
        Self { status: CloseCode::Abnormal.into(), reason }
    }
}
