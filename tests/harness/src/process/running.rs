//! A process that a test started: its output, its end. It never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// After so long without a line that is waited for, something hangs. It decides nothing else.
const HANGS: Duration = Duration::from_secs(120);

const STREAMS: usize = 2;

/// A running process, killed when dropped.
pub struct Running {
    child: Child,
    output: Arc<Output>,
}

/// Standard output and standard error, line by line.
#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    text: Vec<String>,
    /// How many of the two streams have ended.
    ended: usize,
}

impl Running {
    /// Starts a process without standard input.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?} does not start"))?;
        let output = Arc::new(Output::default());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        read(stdout.context("standard output is piped")?, &output);
        read(stderr.context("standard error is piped")?, &output);
        Ok(Self { child, output })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything printed so far.
    pub fn text(&self) -> String {
        self.output.lock().text.join("\n")
    }

    /// How many lines were printed so far, for [`Running::line_after`].
    pub fn mark(&self) -> usize {
        self.output.lock().text.len()
    }

    /// Waits for a line that was printed after the mark. Fails with everything that was printed if
    /// the process ends without it.
    pub fn line_after(&self, mark: usize, wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let found = |lines: &Lines| lines.text.iter().skip(mark).position(|line| wanted(line));
        let waiting = |lines: &mut Lines| found(lines).is_none() && lines.ended < STREAMS;
        let lines = self.output.lock();
        let waited = self
            .output
            .changed
            .wait_timeout_while(lines, HANGS, waiting);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match found(&lines) {
            Some(index) => Ok(lines.text[mark + index].clone()),
            None => bail!(
                "the line that was waited for did not come:\n{}",
                lines.text.join("\n")
            ),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Waits until it ends by itself. All it printed is read then.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let lines = self.output.lock();
        let waited = self
            .output
            .changed
            .wait_timeout_while(lines, HANGS, |lines| lines.ended < STREAMS);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if lines.ended < STREAMS {
            bail!("the process does not end:\n{}", lines.text.join("\n"));
        }
        Ok(self.child.wait()?)
    }

    /// SIGTERM, and waits.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait()
    }

    /// SIGKILL, and waits.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(stream: impl Read + Send + 'static, output: &Arc<Output>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            output
                .lock()
                .text
                .push(String::from_utf8_lossy(&line).into_owned());
            output.changed.notify_all();
        }
        output.lock().ended += 1;
        output.changed.notify_all();
    });
}
