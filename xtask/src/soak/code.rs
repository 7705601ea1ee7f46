//! What the functions do, and how often.

use crate::dice::Dice;

pub(super) const NODE: &str = r#"
const { spawn } = require('child_process');
exports.handler = async (e) => {
  switch (e.op) {
    case 'throw': throw new Error('no');
    case 'exit': process.exit(3);
    case 'crash': process.abort();
    case 'hang': return await new Promise((r) => setTimeout(r, 60_000));
    case 'spin': for (;;);
    case 'hog': { const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1)); }
    case 'child': spawn('sleep', ['60'], { detached: true, stdio: 'ignore' }).unref(); break;
    case 'log': console.log('x'.repeat(50_000)); break;
    case 'tmp': require('fs').writeFileSync('/tmp/x', Buffer.alloc(16 << 20, 1)); break;
    case 'wait': await new Promise((r) => setTimeout(r, 50));
  }
  return e;
};
"#;
pub(super) const PYTHON: &str = r#"
import os, subprocess, time
def handler(e, context):
    op = e["op"]
    if op == "throw": raise ValueError("no")
    if op == "exit": os._exit(3)
    if op == "crash": os.abort()
    if op == "hang": time.sleep(60)
    if op == "spin":
        while True: pass
    if op == "hog":
        held = []
        while True: held.append(b"x" * (8 << 20))
    if op == "child": subprocess.Popen(["sleep", "60"], start_new_session=True)
    if op == "log": print("x" * 50_000)
    if op == "tmp": open("/tmp/x", "wb").write(b"x" * (16 << 20))
    if op == "wait": time.sleep(0.05)
    return e
"#;
/// What an invocation asks of its function, each with its share of a thousand; the rest only want an answer.
const OPERATIONS: [(&str, usize); 10] = [
    ("throw", 40),
    ("exit", 25),
    ("crash", 15),
    ("hang", 3),
    ("spin", 3),
    ("hog", 6),
    ("child", 20),
    ("log", 20),
    ("tmp", 15),
    ("wait", 150),
];

/// For one invocation.
pub(super) fn operation(dice: &mut Dice) -> &'static str {
    let mut drawn = dice.below(1_000);
    for (operation, share) in OPERATIONS {
        match drawn.checked_sub(share) {
            Some(rest) => drawn = rest,
            None => return operation,
        }
    }
    "answer"
}
