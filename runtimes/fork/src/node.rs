//! The door for Node: an N-API addon with one function, `serve()`.

use std::ffi::{c_int, c_void};
use std::ptr;

use napi_sys::{napi_callback_info, napi_env, napi_value};

use crate::{platform, zygote};

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
    let name = "serve";
    let mut function = ptr::null_mut();
    // SAFETY: `env` and `exports` are Node's own, alive during this call; the name is a string of the length given.
    // JUSTIFICATION: as above.
    unsafe {
        let length = name.len() as isize;
        napi_sys::napi_create_function(
            env,
            name.as_ptr().cast(),
            length,
            Some(serve),
            ptr::null_mut(),
            &raw mut function,
        );
        napi_sys::napi_set_named_property(env, exports, c"serve".as_ptr(), function);
    }
    exports
}

/// Serves as a zygote; in a child gives its environment as a string.
unsafe extern "C" fn serve(env: napi_env, _: napi_callback_info) -> napi_value {
    let environment = zygote::serve();
    let mut text = ptr::null_mut();
    // SAFETY: this is the thread of `env`; the loop is Node's, and single.
    // JUSTIFICATION: N-API is a C interface.
    unsafe {
        let mut event_loop = ptr::null_mut();
        napi_sys::napi_get_uv_event_loop(env, &raw mut event_loop);
        fork_loop(event_loop.cast());
        reseed();
        let (bytes, length) = (environment.as_ptr().cast(), environment.len() as isize);
        napi_sys::napi_create_string_utf8(env, bytes, length, &raw mut text);
    }
    text
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
