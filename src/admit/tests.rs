//! What all limits together do.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::error::{Error, Kind, Scope, Unit};

/// A policy with these limits on a route and in all.
fn policy(tallies: &Tallies, route: Limits, server: Limits) -> Policy {
    Policy { route: tallies.of_route("a", route), server: tallies.of_server(server), state: None }
}

fn at_once(max: usize) -> Limits {
    Limits { max_concurrency: Some(max), ..Limits::default() }
}

fn requests(per_minute: u64) -> Limits {
    Limits { requests_per_minute: Some(per_minute), ..Limits::default() }
}

fn tokens(per_minute: u64) -> Limits {
    Limits { tokens_per_minute: Some(per_minute), ..Limits::default() }
}

fn budget(tokens: Option<u64>, picodollars: Option<u64>) -> Limits {
    Limits { budget: Some(Budget { tokens, picodollars, per: Per::Month }), ..Limits::default() }
}

const NONE: Limits = Limits { requests_per_minute: None, tokens_per_minute: None, max_concurrency: None, budget: None };

fn running(rule: Option<&Arc<Rule>>) -> usize {
    rule.expect("a rule").account.running()
}

/// Without others that count, nothing has to be waited for.
fn entered(policy: &Policy, client: Option<&Arc<Rule>>, began: Instant) -> Result<Option<Box<Admission>>, Refused> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(policy.enter(client, began)).poll(&mut cx) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

impl Policy {
    fn ask(&self) -> Result<Box<Admission>, Kind> {
        entered(self, None, Instant::now())
            .map(|admission| admission.expect("a limit"))
            .map_err(|refused| refused.kind())
    }

    /// How many are let in, one after the other.
    fn let_in(&self) -> usize {
        (0..10_000).map_while(|_| self.ask().ok()).count()
    }
}

const BUSY_ROUTE: Kind = Kind::ConcurrencyLimited(Scope::Route);
const BUSY_SERVER: Kind = Kind::ConcurrencyLimited(Scope::Server);

#[test]
fn without_a_limit_everybody_may_begin_and_nothing_is_held() {
    let tallies = Tallies::default();
    let policy = policy(&tallies, NONE, NONE);
    assert!((0..1000).all(|_| entered(&policy, None, Instant::now()).expect("no limit").is_none()));
    assert_eq!(tallies.count(), 0);
}

#[test]
fn who_is_refused_by_one_limit_takes_no_place_under_the_other() {
    let tallies = Tallies::default();
    let wide = policy(&tallies, at_once(3), at_once(2));
    let (_one, two) = (wide.ask().expect("free"), wide.ask().expect("free"));
    assert_eq!(wide.ask().expect_err("full"), BUSY_SERVER);
    assert_eq!((running(wide.route.as_ref()), running(wide.server.as_ref())), (2, 2));
    drop(two);
    let narrow = policy(&tallies, at_once(1), at_once(2));
    assert_eq!(narrow.ask().expect_err("full"), BUSY_ROUTE);
    assert_eq!((running(narrow.route.as_ref()), running(narrow.server.as_ref())), (1, 1));
}

#[test]
fn a_tally_outlives_its_limits_for_as_long_as_somebody_runs() {
    let tallies = Tallies::default();
    let old = policy(&tallies, at_once(5), NONE);
    let place = old.ask().expect("free");
    drop(old);
    // A configuration without the limit, in which nobody asks for the tally.
    tallies.forget_unused();
    let new = policy(&tallies, at_once(1), NONE);
    assert_eq!(new.ask().expect_err("the old one still runs"), BUSY_ROUTE);
    drop(place);
    assert!(new.ask().is_ok());
    drop(new);
    tallies.forget_unused();
    assert_eq!(tallies.count(), 0);
}

#[test]
fn a_panic_frees_the_place() {
    let tallies = Tallies::default();
    let policy = policy(&tallies, at_once(1), at_once(1));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _places = policy.ask().expect("free");
        panic!("a bug");
    }));
    assert!(caught.is_err() && policy.ask().is_ok());
}

#[test]
fn threads_together_take_as_many_places_as_there_are() {
    let tallies = Tallies::default();
    let policy = policy(&tallies, at_once(10), NONE);
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let _places: Vec<_> = (0..3).map_while(|_| policy.ask().ok()).collect();
                    most.fetch_max(running(policy.route.as_ref()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(most.load(Ordering::Relaxed) <= 10);
    assert_eq!(running(policy.route.as_ref()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_requests_goes_at_once_and_the_rest_as_time_goes_by() {
    let tallies = Tallies::default();
    let policy = policy(&tallies, requests(30), NONE);
    assert_eq!(policy.let_in(), 30);
    let refused = entered(&policy, None, Instant::now()).expect_err("a minute is used up");
    assert_eq!(refused.kind(), Kind::RateLimited(Scope::Route, Unit::Requests));
    assert_eq!(Error::from(refused).fields()[0], ("Retry-After", "2".to_owned()));
    tokio::time::advance(Duration::from_millis(1999)).await;
    assert_eq!(policy.let_in(), 0);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(policy.let_in(), 1);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(policy.let_in(), 30);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_by_one_limit_uses_up_no_other() {
    let tallies = Tallies::default();
    let policy = policy(&tallies, requests(10), requests(4));
    assert_eq!(policy.let_in(), 4);
    for _ in 0..100 {
        assert_eq!(policy.ask().expect_err("none in all"), Kind::RateLimited(Scope::Server, Unit::Requests));
    }
    // The route has its six left.
    let alone = self::policy(&tallies, requests(10), NONE);
    assert_eq!(alone.let_in(), 6);
    // Nor does who finds no place use up a request, or the other way round.
    let both = Limits { max_concurrency: Some(1), ..requests(5) };
    let other = Policy { route: tallies.of_route("b", both), server: None, state: None };
    let place = other.ask().expect("free");
    for _ in 0..100 {
        assert_eq!(other.ask().expect_err("occupied"), BUSY_ROUTE);
    }
    drop(place);
    assert_eq!(other.let_in(), 4);
    assert_eq!(running(other.route.as_ref()), 0);
}

#[test]
fn threads_together_are_let_in_exactly_so_often() {
    // Nothing comes back meanwhile that would be a whole request.
    const EACH: u64 = 3;
    let tallies = Tallies::default();
    let routes: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| Policy {
            route: tallies.of_route(name, requests(EACH)),
            server: tallies.of_server(requests(10)),
            state: None,
        })
        .collect();
    let began = Instant::now();
    let let_in: Vec<AtomicUsize> = routes.iter().map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (routes, let_in) = (&routes, &let_in);
            scope.spawn(move || {
                for round in 0..4_000 {
                    let which = (round + number) % routes.len();
                    // By one clock, so that nothing comes back.
                    if entered(&routes[which], None, began).is_ok() {
                        let_in[which].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let let_in: Vec<_> = let_in.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert_eq!(let_in.iter().sum::<usize>(), 10, "{let_in:?}");
    // What all routes together refused was taken from none of them.
    for (policy, let_in) in routes.iter().zip(let_in) {
        let alone = Policy { route: policy.route.clone(), server: None, state: None };
        let rest = (0..100).take_while(|_| entered(&alone, None, began).is_ok()).count();
        assert_eq!(let_in + rest, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_paid_for_afterwards() {
    let tallies = Tallies::default();
    let policy = policy(&tallies, tokens(1000), NONE);
    let admission = policy.ask().expect("nothing used yet");
    assert!(admission.needs_usage());
    // Those that are under way already are not broken off.
    let beside = policy.ask().expect("nothing known yet");
    admission.settle(Some(1400), None);
    beside.settle(None, None);
    let refused = entered(&policy, None, Instant::now()).expect_err("all used");
    assert_eq!(refused.kind(), Kind::RateLimited(Scope::Route, Unit::Tokens));
    assert_eq!(Error::from(refused).fields()[0], ("Retry-After", "25".to_owned()));
    tokio::time::advance(Duration::from_secs(25)).await;
    assert!(policy.ask().is_ok());
}

#[test]
fn a_budget_is_spent_once_and_survives_configurations() {
    let tallies = Tallies::default();
    let first = policy(&tallies, budget(Some(100), None), NONE);
    first.ask().expect("nothing spent").settle(Some(99), None);
    drop(first);
    // The route goes, and comes back.
    tallies.forget_unused();
    let again = policy(&tallies, budget(Some(100), Some(50)), NONE);
    again.ask().expect("one is left").settle(Some(1), Some(7));
    assert_eq!(again.ask().expect_err("spent"), Kind::BudgetExhausted(Scope::Route, Unit::Tokens));
    let more = policy(&tallies, budget(Some(1000), Some(50)), NONE);
    more.ask().expect("more is allowed now").settle(None, Some(43));
    assert_eq!(more.ask().expect_err("spent"), Kind::BudgetExhausted(Scope::Route, Unit::Dollars));
}

#[test]
fn a_budget_is_whole_again_when_the_next_day_or_month_begins() {
    let at = |text: &str| account::Now { instant: Instant::now(), timestamp: text.parse().expect("a time") };
    for (per, last, next) in [
        (Per::Day, "2026-01-30T23:59:59Z", "2026-01-31T00:00:00Z"),
        (Per::Month, "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z"),
    ] {
        let limits = Limits { budget: Some(Budget { tokens: Some(100), picodollars: None, per }), ..NONE };
        let rule = Tallies::default().of_route("a", limits).expect("a limit");
        let refused = |now| {
            let books = rule.books(now).expect("books");
            rule.refusal(&books, now).map(|refused| (refused.kind(), refused.wait))
        };
        let (last, next) = (at(last), at(next));
        rule.spend(budget::Spent { tokens: 100, picodollars: 0 }, last, true);
        let kind = Kind::BudgetExhausted(Scope::Route, Unit::Tokens);
        assert_eq!(refused(last), Some((kind, Duration::from_secs(1))));
        assert_eq!(refused(next), None);
        // What others have not heard of by then is over, too.
        assert_eq!(rule.take_unsent(next), None);
    }
}

#[test]
fn clients_come_before_routes_and_routes_before_all() {
    let tallies = Tallies::default();
    let alice = tallies.of_client("alice", requests(2));
    let policy = policy(&tallies, requests(3), NONE);
    let began = Instant::now();
    let ask =
        |client: Option<&Arc<Rule>>| entered(&policy, client, began).map(|_| ()).map_err(|refused| refused.kind());
    assert_eq!((ask(alice.as_ref()), ask(alice.as_ref())), (Ok(()), Ok(())));
    assert_eq!(ask(alice.as_ref()), Err(Kind::RateLimited(Scope::Client, Unit::Requests)));
    assert_eq!((ask(None), ask(None)), (Ok(()), Err(Kind::RateLimited(Scope::Route, Unit::Requests))));
}
