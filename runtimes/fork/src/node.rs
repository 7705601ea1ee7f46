//! The door for Node: an N-API addon with the functions that `FUNCTIONS` names.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

use napi_sys::{napi_callback_info, napi_env, napi_value};

use crate::{obstacle, platform, trace, zygote};

type Function = unsafe extern "C" fn(napi_env, napi_callback_info) -> napi_value;

const FUNCTIONS: [(&CStr, Function); 9] = [
    (c"serve", serve),
    (c"go", go),
    (c"pair", pair),
    (c"trace", set_trace),
    (c"exiting", exiting),
    (c"exit", exit),
    (c"isTemplate", is_template),
    (c"obstacle", obstacle),
    (c"serveAsTemplate", serve_as_template),
];

/// Called by Node when it loads the addon.
///
/// # Safety
/// Node keeps N-API's contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: napi_env, exports: napi_value) -> napi_value {
    // SAFETY: called in a process that has N-API's symbols, once, before any other of its functions.
    // JUSTIFICATION: N-API is a C interface.
    let _symbols = unsafe { napi_sys::setup() };
    if !can_serve() || !platform::without_workers() {
        // Without a word of being ready: the spawner gives this zygote up.
        std::process::abort();
    }
    for (name, function) in FUNCTIONS {
        let mut value = ptr::null_mut();
        let length = name.count_bytes() as isize;
        let data = ptr::null_mut();
        // SAFETY: `env` and `exports` are Node's own, alive during this call; the name is a string of the length given.
        // JUSTIFICATION: as above.
        unsafe {
            let name = name.as_ptr();
            napi_sys::napi_create_function(env, name, length, Some(function), data, &raw mut value);
            napi_sys::napi_set_named_property(env, exports, name, value);
        }
    }
    exports
}

/// Serves as a zygote; returns in each child.
unsafe extern "C" fn serve(env: napi_env, _: napi_callback_info) -> napi_value {
    zygote::serve();
    // SAFETY: Node calls this in the thread of `env`.
    // JUSTIFICATION: N-API is a C interface.
    unsafe { put_in_order(env) }
}

/// Serves as a template; returns in each child.
unsafe extern "C" fn serve_as_template(env: napi_env, _: napi_callback_info) -> napi_value {
    zygote::serve_as_template();
    // SAFETY: as in `serve`.
    // JUSTIFICATION: as in `serve`.
    unsafe { put_in_order(env) }
}

/// What a fork shares with its parent and must not.
///
/// # Safety
/// Called by the thread of `env`, whose event loop is Node's, and single.
unsafe fn put_in_order(env: napi_env) -> napi_value {
    // SAFETY: as asked of the caller.
    // JUSTIFICATION: as in `serve`.
    unsafe {
        let mut event_loop = ptr::null_mut();
        napi_sys::napi_get_uv_event_loop(env, &raw mut event_loop);
        fork_loop(event_loop.cast());
        reseed();
    }
    ptr::null_mut()
}

/// Whether this process is to be a template after its init.
unsafe extern "C" fn is_template(env: napi_env, _: napi_callback_info) -> napi_value {
    let mut answer = ptr::null_mut();
    // SAFETY: as in `serve`.
    // JUSTIFICATION: as in `serve`.
    unsafe { napi_sys::napi_get_boolean(env, zygote::is_template(), &raw mut answer) };
    answer
}

/// Why the process cannot be a template, although exactly as many threads as the argument says, the pool's, may be lost; an
/// empty string if it can.
unsafe extern "C" fn obstacle(env: napi_env, info: napi_callback_info) -> napi_value {
    // SAFETY: as in `code`, which asks for the same.
    // JUSTIFICATION: as in `serve`.
    let threads = usize::try_from(unsafe { code(env, info) }).unwrap_or(0);
    let words = obstacle::obstacle(|count| count == threads).unwrap_or_default();
    let mut text = ptr::null_mut();
    let (bytes, length) = (words.as_ptr().cast(), words.len() as isize);
    // SAFETY: as in `serve`; the bytes are valid for the length.
    // JUSTIFICATION: as in `serve`.
    unsafe { napi_sys::napi_create_string_utf8(env, bytes, length, &raw mut text) };
    text
}

/// In a child: waits for what it is for; gives its environment as a string.
unsafe extern "C" fn go(env: napi_env, _: napi_callback_info) -> napi_value {
    let environment = zygote::go();
    let mut text = ptr::null_mut();
    let (bytes, length) = (environment.as_ptr().cast(), environment.len() as isize);
    // SAFETY: as in `serve`; the bytes are valid for the length.
    // JUSTIFICATION: as in `serve`.
    unsafe { napi_sys::napi_create_string_utf8(env, bytes, length, &raw mut text) };
    text
}

/// Takes the code that the process is about to exit with.
unsafe extern "C" fn exiting(env: napi_env, info: napi_callback_info) -> napi_value {
    // SAFETY: as in `code`, which asks for the same.
    // JUSTIFICATION: as in `serve`.
    platform::EXIT_CODE.store(unsafe { code(env, info) }, Ordering::Relaxed);
    ptr::null_mut()
}

/// Ends the process at once with a code.
unsafe extern "C" fn exit(env: napi_env, info: napi_callback_info) -> napi_value {
    // SAFETY: as in `code`; the end has no preconditions.
    // JUSTIFICATION: Node's own end waits for threads that a fork lacks.
    unsafe { libc::_exit(code(env, info)) }
}

/// The only argument, a number; 1 if it is none.
///
/// # Safety
/// Called by Node with both, once.
unsafe fn code(env: napi_env, info: napi_callback_info) -> c_int {
    let (mut count, mut argument, mut code) = (1, ptr::null_mut(), 1);
    // SAFETY: one argument is asked for and has room; a missing one is `undefined`, which leaves `code` as it is.
    // JUSTIFICATION: as in `serve`.
    unsafe {
        let (this, data) = (ptr::null_mut(), ptr::null_mut());
        napi_sys::napi_get_cb_info(env, info, &raw mut count, &raw mut argument, this, data);
        napi_sys::napi_get_value_int32(env, argument, &raw mut code);
    }
    code & 0xff
}

/// Two connected sockets as one number, 65,536 times the first plus the second; -1 if there are none.
unsafe extern "C" fn pair(env: napi_env, _: napi_callback_info) -> napi_value {
    let mut sockets = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    let mut number = ptr::null_mut();
    // SAFETY: two numbers are written; the rest as in `serve`.
    // JUSTIFICATION: as in `serve`.
    unsafe {
        let made = libc::socketpair(libc::AF_UNIX, kind, 0, sockets.as_mut_ptr()) == 0;
        let both = if made { i64::from(sockets[0]) << 16 | i64::from(sockets[1]) } else { -1 };
        napi_sys::napi_create_int64(env, both, &raw mut number);
    }
    number
}

/// Sets the trace id of the invocation; `true` if it could be done without `setenv`.
unsafe extern "C" fn set_trace(env: napi_env, info: napi_callback_info) -> napi_value {
    let (mut count, mut argument, mut done) = (1, ptr::null_mut(), ptr::null_mut());
    // SAFETY: one argument is asked for and has room; what is no string leaves the length 0. Node calls this on its one
    // thread.
    // JUSTIFICATION: as in `serve`.
    unsafe {
        let (this, data) = (ptr::null_mut(), ptr::null_mut());
        napi_sys::napi_get_cb_info(env, info, &raw mut count, &raw mut argument, this, data);
        let set = trace::set(|into| {
            let (mut length, room) = (0, into.len());
            let into = into.as_mut_ptr().cast();
            napi_sys::napi_get_value_string_utf8(env, argument, into, room, &raw mut length);
            length
        });
        napi_sys::napi_get_boolean(env, set, &raw mut done);
    }
    done
}

/// OpenSSL notices a fork by the process id, which in a pid namespace may be the zygote's own number.
unsafe fn reseed() {
    type RandPoll = unsafe extern "C" fn() -> c_int;
    // SAFETY: a static name; OpenSSL's function has this type.
    // JUSTIFICATION: OpenSSL is part of the Node binary or loaded by it.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"RAND_poll".as_ptr());
        // Looked for before the first fork: see `can_serve`.
        if !found.is_null() {
            let rand_poll: RandPoll = std::mem::transmute(found);
            rand_poll();
        }
    }
}

/// Whether this Node lets us do what a fork needs.
fn can_serve() -> bool {
    // SAFETY: static names.
    // JUSTIFICATION: as in `fork_loop`.
    [c"uv_loop_fork", c"RAND_poll"]
        .iter()
        .all(|name| !unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.is_null())
}

/// Gives the child's event loop descriptors of its own: the zygote's are shared with all its children.
unsafe fn fork_loop(event_loop: *mut c_void) {
    type UvLoopFork = unsafe extern "C" fn(*mut c_void) -> c_int;
    // SAFETY: a static name; libuv's function has this type. Node exports it, as addons use it.
    // JUSTIFICATION: libuv is part of the Node binary, linked by nobody else.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"uv_loop_fork".as_ptr());
        let uv_loop_fork: UvLoopFork = std::mem::transmute(found);
        uv_loop_fork(event_loop);
    }
}
