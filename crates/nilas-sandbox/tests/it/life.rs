//! Start, freeze, thaw, terminate and end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nilas_sandbox::{LinuxSandbox, Outbound, ReadOnlyMount, Sandbox, StartError};

use crate::harness::{
    Outcome, Test, config, eventually, has, is_root, last_config, line, output, read_all, shell,
    spec, start, with_sandbox,
};

pub(crate) const TESTS: &[Test] = &[
    ("tells_how_the_main_process_ended", tells_how_the_main_process_ended),
    ("names_what_hindered_the_start", names_what_hindered_the_start),
    ("leaves_no_process_behind", leaves_no_process_behind),
    ("freezes_and_thaws", freezes_and_thaws),
    ("kills_what_is_frozen", kills_what_is_frozen),
    ("terminates_softly", terminates_softly),
    ("dies_with_its_last_handle", dies_with_its_last_handle),
    ("dies_with_a_start_nobody_waits_for", dies_with_a_start_nobody_waits_for),
    ("launches_fast", launches_fast),
    ("starts_fast", starts_fast),
    ("starts_many_at_once", starts_many_at_once),
    ("starts_with_outbound_network", starts_with_outbound_network),
];

/// The v2 group of this process's only sandbox.
fn group() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let point = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let home = find(Path::new(point), &last_config().name)?;
    sub_dirs(&home).next()
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    sub_dirs(dir).find_map(|path| {
        if path.file_name().is_some_and(|own| own == name) { Some(path) } else { find(&path, name) }
    })
}

fn sub_dirs(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// Whether a process of the host has `marker` among its arguments.
pub(crate) fn runs(marker: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok()).any(
        |arguments| {
            arguments.split(|byte| *byte == 0).any(|argument| argument == marker.as_bytes())
        },
    )
}

/// Sleeps for a time that no other process sleeps.
pub(crate) fn marker(number: u32) -> String {
    format!("{}.{number}", 1_000_000 + std::process::id())
}

fn tells_how_the_main_process_ended() -> Outcome {
    with_sandbox(|sandbox| async move {
        assert_eq!(output(&sandbox, shell("exit 7")).await.1.code, Some(7));
        assert_eq!(output(&sandbox, shell("kill -ABRT $$")).await.1.signal, Some(6));
        let started = start(&sandbox, shell("sleep 60")).await;
        started.control.kill();
        started.control.kill();
        let (one, two) = tokio::join!(started.control.exited(), started.control.exited());
        assert_eq!((one.code, one.signal, one.out_of_memory), (None, Some(9), false));
        assert_eq!(one, two);
        Outcome::Passed
    })
}

fn names_what_hindered_the_start() -> Outcome {
    with_sandbox(|sandbox| async move {
        match sandbox.start(spec(&["/usr/bin/missing"])).await {
            Err(StartError::Exec { path, reason }) => {
                assert_eq!(path, "/usr/bin/missing");
                assert!(reason.contains("No such file"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        let mut wrong = shell("true");
        wrong.mounts.push(ReadOnlyMount {
            sources: vec!["/nowhere/at/all".into()],
            target: "/var/task".into(),
        });
        match sandbox.start(wrong).await {
            Err(StartError::Step { step, .. }) => {
                assert!(step.starts_with("mount /var/task"), "{step}")
            }
            other => panic!("{other:?}"),
        }
        let mut wrong = shell("true");
        wrong.cwd = "/nowhere".into();
        let error = sandbox.start(wrong).await.unwrap_err();
        assert!(error.to_string().contains("working directory"), "{error}");
        let mut wrong = shell("true");
        wrong.env.push(("BIG".to_owned(), "x".repeat(200_000)));
        let error = sandbox.start(wrong).await.unwrap_err();
        assert!(error.to_string().contains("over the limit"), "{error}");
        assert_eq!(output(&sandbox, shell("echo fine")).await.0, "fine\n");
        Outcome::Passed
    })
}

fn leaves_no_process_behind() -> Outcome {
    with_sandbox(|sandbox| async move {
        let marker = marker(1);
        let spec = shell(&format!(
            "(setsid sleep {marker} &) ; sleep 0.1; (true &); echo started; sleep 0.2"
        ));
        let started = start(&sandbox, spec).await;
        assert_eq!(line(&started.output).await, "started");
        assert!(runs(&marker));
        started.control.exited().await;
        assert!(!runs(&marker));
        eventually("the cgroup is removed", || group().is_none()).await;
        Outcome::Passed
    })
}

fn freezes_and_thaws() -> Outcome {
    with_sandbox(|sandbox| async move {
        let spec = shell("while :; do echo tick; sleep 0.01; done");
        let started = start(&sandbox, spec).await;
        let by_cgroup = has(&sandbox, "freeze and kill");
        let frozen = |wanted: &str| {
            let events =
                group().map(|group| std::fs::read_to_string(group.join("cgroup.events")).unwrap());
            events.is_some_and(|events| events.contains(wanted))
        };
        for _ in 0..3 {
            assert_eq!(line(&started.output).await, "tick");
            started.control.freeze().unwrap();
            if by_cgroup {
                eventually("cgroup.events says frozen", || frozen("frozen 1")).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut buffer = [0; 65_536];
            while rustix::io::read(&started.output, &mut buffer[..]).is_ok() {}
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(rustix::io::read(&started.output, &mut buffer[..]).is_err(), "nothing runs");
            started.control.thaw().unwrap();
            if by_cgroup {
                eventually("cgroup.events says thawed", || frozen("frozen 0")).await;
            }
        }
        Outcome::Passed
    })
}

fn kills_what_is_frozen() -> Outcome {
    with_sandbox(|sandbox| async move {
        let marker = marker(2);
        let started = start(&sandbox, shell(&format!("sleep {marker} & sleep {marker}"))).await;
        eventually("it runs", || runs(&marker)).await;
        started.control.freeze().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        started.control.kill();
        assert_eq!(started.control.exited().await.signal, Some(9));
        assert!(began.elapsed() < Duration::from_secs(1));
        assert!(!runs(&marker));
        Outcome::Passed
    })
}

fn terminates_softly() -> Outcome {
    with_sandbox(|sandbox| async move {
        let started = start(
            &sandbox,
            shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"),
        )
        .await;
        assert_eq!(line(&started.output).await, "ready");
        started.control.terminate().unwrap();
        assert_eq!(started.control.exited().await.code, Some(3));
        assert_eq!(read_all(started.output), "bye\n");
        Outcome::Passed
    })
}

fn dies_with_its_last_handle() -> Outcome {
    with_sandbox(|sandbox| async move {
        let marker = marker(3);
        let started = start(&sandbox, spec(&["/bin/sleep", &marker])).await;
        let other = started.control.clone();
        drop(started);
        assert!(runs(&marker), "one handle is left");
        drop(other);
        eventually("it is gone", || !runs(&marker)).await;
        Outcome::Passed
    })
}

fn dies_with_a_start_nobody_waits_for() -> Outcome {
    with_sandbox(|sandbox| async move {
        let marker = marker(4);
        let start = sandbox.start(spec(&["/bin/sleep", &marker]));
        // Long enough to send the request, not to get the answer.
        assert!(tokio::time::timeout(Duration::from_micros(1), start).await.is_err());
        assert_eq!(output(&sandbox, shell("true")).await.1.code, Some(0));
        eventually("it is gone", || !runs(&marker)).await;
        Outcome::Passed
    })
}

fn launches_fast() -> Outcome {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            let sandbox = LinuxSandbox::launch(&config()).unwrap();
            let took = began.elapsed();
            drop(sandbox);
            took
        })
        .collect();
    times.sort();
    println!("    launch: best {:.1?}, median {:.1?}", times[0], times[2]);
    Outcome::Passed
}

fn starts_fast() -> Outcome {
    with_sandbox(|sandbox| async move {
        let mut times = Vec::new();
        for _ in 0..20 {
            let mut spec = spec(&["/bin/true"]);
            spec.listeners = vec![9001, 4566];
            let began = Instant::now();
            let started = start(&sandbox, spec).await;
            times.push(began.elapsed());
            started.control.exited().await;
        }
        times.sort();
        println!(
            "    start until exec: best {:.1?}, median {:.1?}, worst {:.1?}",
            times[0], times[10], times[19]
        );
        Outcome::Passed
    })
}

fn starts_many_at_once() -> Outcome {
    with_sandbox(|sandbox| async move {
        let began = Instant::now();
        let starts: Vec<_> = (0..40).map(|_| sandbox.start(shell("sleep 60"))).collect();
        let mut all = Vec::new();
        for start in starts {
            all.push(start.await.unwrap());
        }
        println!("    40 starts: {:.1?}", began.elapsed());
        let began = Instant::now();
        all.iter().for_each(|started| started.control.kill());
        for started in &all {
            started.control.exited().await;
        }
        println!("    40 ends: {:.1?}", began.elapsed());
        Outcome::Passed
    })
}

fn starts_with_outbound_network() -> Outcome {
    with_sandbox(|sandbox| async move {
        if !has(&sandbox, "outbound network") {
            return Outcome::Skipped("no outbound network".to_owned());
        }
        let mut spec = shell("cat /proc/net/dev");
        spec.outbound = Outbound::Internet;
        let began = Instant::now();
        let started = start(&sandbox, spec).await;
        println!("    start with network: {:.1?}", began.elapsed());
        started.control.exited().await;
        let text = read_all(started.output);
        let interfaces = text.lines().filter(|line| line.contains(':')).count();
        let offline = std::fs::read_to_string("/proc/net/route")
            .is_ok_and(|routes| routes.lines().count() < 2);
        // pasta gives an offline host's sandboxes their loopback only.
        assert_eq!(interfaces, if offline && !is_root() { 1 } else { 2 }, "{text}");
        Outcome::Passed
    })
}
