//! The thread that holds the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, Script};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::server::Server;
use super::{Ask, Job, News, Told};
use crate::admit::account::{Now, Rule};
use crate::text::Away;

/// How soon it is looked for again, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// How often it is asked for a sign of life where nobody asks for anything else.
const PULSE: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(super) struct Keeper {
    server: Arc<Server>,
    config: AsyncConnectionConfig,
    is_up: Arc<AtomicBool>,
    tell: Box<dyn Fn(News) + Send>,
    scripts: Arc<Scripts>,
    /// What could not be passed on yet, by name.
    owed: HashMap<String, Arc<Rule>>,
}

struct Scripts {
    take: Script,
    settle: Script,
}

/// What came of a job: a rule of which something is still to be passed on, if it failed.
type Outcome = Result<(), (RedisError, Option<Arc<Rule>>)>;

impl Keeper {
    pub(super) fn new(
        server: Arc<Server>,
        timeout: Duration,
        is_up: Arc<AtomicBool>,
        tell: Box<dyn Fn(News) + Send>,
    ) -> Self {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(timeout));
        let script = |text: &str| Script::new(&[include_str!("rows.lua"), text].concat());
        let scripts = Scripts { take: script(include_str!("take.lua")), settle: script(include_str!("settle.lua")) };
        Self { server, config, is_up, tell, scripts: Arc::new(scripts), owed: HashMap::new() }
    }

    /// Works until nobody can ask any more. `began` hears of the first connection, or that there is none.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>, began: &SyncSender<()>) {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (mut pause, mut was_told) = (FIRST_LOOK, false);
            loop {
                let mut driver = JoinSet::new();
                let why = match self.connect(&mut driver).await {
                    Ok(connection) => {
                        self.is_up.store(true, Ordering::Relaxed);
                        (self.tell)(News::Up);
                        let _ = began.try_send(());
                        (pause, was_told) = (FIRST_LOOK, false);
                        let served = self.serve(connection, &mut jobs).await;
                        self.is_up.store(false, Ordering::Relaxed);
                        match served {
                            Some(why) => why,
                            None => return,
                        }
                    }
                    Err(why) => why,
                };
                if !std::mem::replace(&mut was_told, true) {
                    (self.tell)(News::Down(away(&why)));
                }
                let _ = began.try_send(());
                if !self.pass_time(Instant::now() + pause, &mut jobs).await {
                    return;
                }
                pause = (pause * 2).min(LAST_LOOK);
            }
        });
        runtime.shutdown_background();
    }

    /// A connection on which scripts run.
    async fn connect(&self, driver: &mut JoinSet<()>) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.server.connect(&self.config, driver).await?;
        self.scripts.take.load_async(&mut connection).await?;
        self.scripts.settle.load_async(&mut connection).await?;
        Ok(connection)
    }

    /// Does what is asked for until that fails (and gives why), or until nobody can ask any more.
    async fn serve(&mut self, connection: MultiplexedConnection, jobs: &mut mpsc::Receiver<Job>) -> Option<RedisError> {
        let mut running: JoinSet<Outcome> = JoinSet::new();
        let mut ends: Vec<SyncSender<()>> = Vec::new();
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for (_, rule) in self.owed.drain() {
            running.spawn(settle(rule, false, Arc::clone(&self.scripts), connection.clone()));
        }
        loop {
            if running.is_empty() {
                ends.drain(..).for_each(|end| _ = end.try_send(()));
            }
            tokio::select! {
                job = jobs.recv() => match job? {
                    Job::Take(ask, answer) => {
                        _ = running.spawn(take(ask, answer, Arc::clone(&self.scripts), connection.clone()));
                    }
                    Job::Settle(rule) => {
                        _ = running.spawn(settle(rule, true, Arc::clone(&self.scripts), connection.clone()));
                    }
                    Job::End(end) => ends.push(end),
                },
                _ = pulse.tick(), if running.is_empty() => {
                    running.spawn(ping(connection.clone()));
                }
                Some(done) = running.join_next() => if let Ok(Err((why, owed))) = done {
                    owed.into_iter().for_each(|rule| self.owe(rule));
                    // The others would fail too, each after its time. What they owe is noted before they go.
                    while let Some(done) = running.join_next().await {
                        if let Ok(Err((_, Some(rule)))) = done {
                            self.owe(rule);
                        }
                    }
                    return Some(why);
                },
            }
        }
    }

    fn owe(&mut self, rule: Arc<Rule>) {
        self.owed.insert(rule.key(), rule);
    }

    /// Lets time go by while the server is away. Gives whether anybody can still ask.
    async fn pass_time(&mut self, until: Instant, jobs: &mut mpsc::Receiver<Job>) -> bool {
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                job = jobs.recv() => match job {
                    // Whoever waits for an answer hears that there is none.
                    Some(Job::Take(..)) => {}
                    Some(Job::Settle(rule)) => self.owe(rule),
                    Some(Job::End(end)) => _ = end.try_send(()),
                    None => return false,
                },
            }
        }
    }
}

/// What is told of a server that is not there for us.
fn away(why: &RedisError) -> Away {
    match (why.kind(), why.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => Away::WrongLogin,
        (_, Some("NOAUTH")) => Away::NoLogin,
        _ => Away::Other(why.to_string()),
    }
}

async fn take(
    ask: Ask,
    answer: oneshot::Sender<Told>,
    scripts: Arc<Scripts>,
    mut connection: MultiplexedConnection,
) -> Outcome {
    let mut call = scripts.take.prepare_invoke();
    for rule in &ask.rules {
        let limits = &rule.limits;
        call.key(rule.key())
            .arg(written(limits.requests_per_minute))
            .arg(written(limits.tokens_per_minute))
            .arg(limits.budget.map(|budget| budget.per.name(ask.now.timestamp)).unwrap_or_default())
            .arg(written(limits.budget.and_then(|budget| budget.tokens)))
            .arg(written(limits.budget.and_then(|budget| budget.picodollars)));
    }
    let told: (i64, Vec<f64>) = match call.invoke_async::<Vec<f64>>(&mut connection).await {
        Ok(numbers) if numbers.len() == 1 + 4 * ask.rules.len() => (i64::from(numbers[0] > 0.5), numbers),
        Ok(_) => return Ok(()),
        Err(why) => return Err((why, None)),
    };
    let rows = told.1[1..].chunks_exact(4).map(|row| [row[0], row[1], row[2], row[3]]).collect();
    let _ = answer.send(Told { let_in: told.0 == 1, rows });
    Ok(())
}

/// Passes on what was used. `is_fresh`: just now, so that it counts for this minute, too.
async fn settle(
    rule: Arc<Rule>,
    is_fresh: bool,
    scripts: Arc<Scripts>,
    mut connection: MultiplexedConnection,
) -> Outcome {
    let now = Now::at(Instant::now());
    let Some((unsent, known)) = rule.take_unsent(now) else { return Ok(()) };
    let limits = &rule.limits;
    let mut call = scripts.settle.key(rule.key());
    call.arg(written(limits.requests_per_minute))
        .arg(written(limits.tokens_per_minute))
        .arg(limits.budget.map(|budget| budget.per.name(now.timestamp)).unwrap_or_default())
        .arg(if is_fresh { unsent.tokens } else { 0 })
        .arg(known.tokens)
        .arg(known.picodollars)
        .arg(unsent.tokens)
        .arg(unsent.picodollars);
    match call.invoke_async::<i64>(&mut connection).await {
        Ok(_) => Ok(()),
        Err(why) => {
            rule.put_back_unsent(unsent);
            Err((why, Some(rule)))
        }
    }
}

/// Asks for a sign of life.
async fn ping(mut connection: MultiplexedConnection) -> Outcome {
    let answer = redis::cmd("PING").query_async::<()>(&mut connection).await;
    answer.map_err(|why| (why, None))
}

fn written(limit: Option<u64>) -> String {
    limit.map(|limit| limit.to_string()).unwrap_or_default()
}
