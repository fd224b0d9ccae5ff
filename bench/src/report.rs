//! Figures and tables.

/// What a load measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) units: u64,
    pub(crate) errors: u64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
}

impl Figures {
    pub(crate) fn new(units: u64, errors: u64, mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        let at = |part: f64| {
            let place = (nanoseconds.len() as f64 * part) as usize;
            nanoseconds.get(place.min(nanoseconds.len().saturating_sub(1))).map_or(0.0, |&value| value as f64 / 1000.0)
        };
        Self { units, errors, p50: at(0.5), p99: at(0.99) }
    }
}

/// One line that the driver reads again.
pub(crate) fn print_line(figures: &Figures) {
    println!("{} {} {:.1} {:.1}", figures.units, figures.errors, figures.p50, figures.p99);
}

/// Reads what [`print_line`] wrote.
pub(crate) fn parse_line(line: &str) -> Option<Figures> {
    let mut parts = line.split_whitespace();
    Some(Figures {
        units: parts.next()?.parse().ok()?,
        errors: parts.next()?.parse().ok()?,
        p50: parts.next()?.parse().ok()?,
        p99: parts.next()?.parse().ok()?,
    })
}

/// Something that was counted, and what it is.
pub(crate) type Count = (String, u64);

/// One line that the driver reads again.
pub(crate) fn print_count((what, count): &Count) {
    println!("{what}: {count}");
}

/// Reads what [`print_count`] wrote.
pub(crate) fn parse_count(line: &str) -> Option<Count> {
    let (what, count) = line.split_once(": ")?;
    Some((what.to_owned(), count.parse().ok()?))
}

/// The middle of several values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}
