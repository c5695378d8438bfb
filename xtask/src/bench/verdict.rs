//! When a target is met: the statistics of a row's ratios, and the rules that judge them.

/// Cells scatter: a difference below this factor is noise.
const NOISE: f64 = 1.3;

/// The share of its ceiling that excuses a row from its target; of costs the other way round.
const CEILING_SHARE: f64 = 0.8;

/// What a ratio, ours over the peer's, should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// Of rates: three quarters of the pairs are at least this.
    AtLeast(f64),
    /// Of costs: three quarters of the pairs are at most this.
    AtMost(f64),
    /// Of rates over those of the limit: three quarters of the pairs are at least this, however near to 1.
    ShareAtLeast(f64),
    /// The median is at least this, however near to 1: a bound on what may be lost, no claim of speed.
    MedianAtLeast(f64),
    /// The median is at most this, in the same way.
    MedianAtMost(f64),
    /// Ours itself, and no ratio, is at most this.
    BytesAtMost(f64),
    /// Shown, not judged.
    None,
}

/// What may excuse a row that misses its target.
pub(super) struct NearCeiling {
    /// Ours over the ceiling of the row.
    pub(super) of_ceiling: f64,
    /// Ours over the peer's of all pairs: three quarters of them must not be behind. `None` where there is no peer.
    pub(super) over_peer: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    /// Not reached, but what lies below allows not much more.
    Limit,
    Missed,
    Reported,
}

impl Target {
    /// The one ratio of all pairs that is compared with the target.
    pub(super) fn statistic(self, ratios: &[f64]) -> f64 {
        let quantile = match self {
            Self::AtLeast(_) | Self::ShareAtLeast(_) => 0.25,
            Self::AtMost(_) => 0.75,
            Self::MedianAtLeast(_) | Self::MedianAtMost(_) | Self::BytesAtMost(_) | Self::None => 0.5,
        };
        self::quantile(ratios, quantile)
    }

    fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(target) | Self::ShareAtLeast(target) | Self::MedianAtLeast(target) => {
                ratio >= target
            }
            Self::AtMost(target) | Self::MedianAtMost(target) | Self::BytesAtMost(target) => ratio <= target,
            Self::None => true,
        }
    }

    /// Whether it claims less than can be told from noise.
    fn is_within_noise(self) -> bool {
        match self {
            Self::AtLeast(target) => target < NOISE,
            Self::AtMost(target) => target > 1.0 / NOISE,
            Self::ShareAtLeast(_) | Self::MedianAtLeast(_) | Self::MedianAtMost(_) | Self::BytesAtMost(_) => {
                false
            }
            Self::None => true,
        }
    }

    /// Whether ours itself is judged, not a ratio.
    pub(super) fn is_absolute(self) -> bool {
        matches!(self, Self::BytesAtMost(_))
    }

    /// Judges the ratios of all pairs; [of ours itself](Self::is_absolute) what was measured.
    pub(super) fn judge(self, ratios: &[f64], ceiling: Option<&NearCeiling>) -> Verdict {
        if self.is_within_noise() {
            Verdict::Reported
        } else if self.is_reached(self.statistic(ratios)) {
            Verdict::Met
        } else if ceiling.is_some_and(|ceiling| ceiling.excuses(self)) {
            Verdict::Limit
        } else {
            Verdict::Missed
        }
    }

    fn is_of_costs(self) -> bool {
        matches!(self, Self::AtMost(_) | Self::MedianAtMost(_) | Self::BytesAtMost(_))
    }
}

impl NearCeiling {
    fn excuses(&self, target: Target) -> bool {
        if target.is_of_costs() {
            // A floor that lies within the noise around zero allows anything, so it excuses nothing.
            self.of_ceiling > 0.0
                && self.of_ceiling <= 1.0 / CEILING_SHARE
                && self.over_peer.as_deref().is_none_or(|over| quantile(over, 0.75) <= 1.0)
        } else {
            self.of_ceiling >= CEILING_SHARE
                && self.over_peer.as_deref().is_none_or(|over| quantile(over, 0.25) >= 1.0)
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(target) | Self::ShareAtLeast(target) | Self::MedianAtLeast(target) => {
                f.pad(&format!(">= {target}"))
            }
            Self::AtMost(target) | Self::MedianAtMost(target) => f.pad(&format!("<= {target}")),
            Self::BytesAtMost(target) => f.pad(&format!("<= {target}B")),
            Self::None => f.pad("-"),
        }
    }
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Limit => "limit",
            Self::Missed => "missed",
            Self::Reported => "reported",
        }
    }
}

pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this share of the values lies, interpolated between two of them. NaN of none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().saturating_sub(1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NINE: [f64; 9] = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0];

    #[test]
    fn quartiles_of_nine_and_of_three() {
        assert_eq!(Target::AtLeast(2.0).statistic(&NINE), 3.0);
        assert_eq!(Target::AtMost(2.0).statistic(&NINE), 7.0);
        assert_eq!(Target::MedianAtMost(2.0).statistic(&NINE), 5.0);
        assert_eq!(Target::AtLeast(2.0).statistic(&[4.0, 1.0, 2.0]), 1.5);
        assert_eq!(Target::AtMost(2.0).statistic(&[4.0, 1.0, 2.0]), 3.0);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn met_when_three_quarters_of_the_pairs_reach_it() {
        assert_eq!(Target::AtLeast(3.0).judge(&NINE, None), Verdict::Met);
        assert_eq!(Target::AtLeast(3.1).judge(&NINE, None), Verdict::Missed);
        assert_eq!(Target::AtMost(0.5).judge(&[0.4, 0.5, 0.5], None), Verdict::Met);
        assert_eq!(Target::AtMost(0.5).judge(&[0.4, 0.5, 0.6], None), Verdict::Missed);
    }

    fn near(of_ceiling: f64, over_peer: &[f64]) -> NearCeiling {
        NearCeiling { of_ceiling, over_peer: Some(over_peer.into()) }
    }

    #[test]
    fn limit_needs_most_of_the_ceiling() {
        for target in [Target::AtLeast(3.0), Target::MedianAtLeast(3.0)] {
            let judge = |of_ceiling| target.judge(&[2.0; 9], Some(&near(of_ceiling, &[2.0; 9])));
            assert_eq!(judge(0.8), Verdict::Limit);
            assert_eq!(judge(1.3), Verdict::Limit);
            assert_eq!(judge(0.79), Verdict::Missed);
            assert_eq!(judge(f64::NAN), Verdict::Missed);
        }
        assert_eq!(Target::AtLeast(3.0).judge(&[2.0; 9], None), Verdict::Missed);
        assert_eq!(Target::AtLeast(2.0).judge(&[2.0; 9], Some(&near(0.1, &[2.0; 9]))), Verdict::Met);
    }

    #[test]
    fn limit_of_costs_needs_to_be_close_above_the_floor() {
        for target in [Target::AtMost(0.5), Target::MedianAtMost(0.5)] {
            let judge = |of_ceiling| target.judge(&[0.9; 9], Some(&near(of_ceiling, &[0.9; 9])));
            assert_eq!(judge(0.9), Verdict::Limit);
            assert_eq!(judge(1.25), Verdict::Limit);
            assert_eq!(judge(1.26), Verdict::Missed);
            assert_eq!(judge(-3.0), Verdict::Missed, "a floor below zero");
            assert_eq!(judge(f64::NAN), Verdict::Missed);
        }
    }

    #[test]
    fn limit_needs_three_quarters_of_the_pairs_not_behind_the_peer() {
        let rates =
            |over_peer: &[f64]| Target::MedianAtLeast(0.8).judge(&[0.2; 9], Some(&near(1.0, over_peer)));
        assert_eq!(rates(&[0.9, 1.1, 1.2]), Verdict::Limit);
        assert_eq!(rates(&[0.9, 1.0, 1.2]), Verdict::Missed);
        assert_eq!(rates(&[]), Verdict::Missed);
        let costs = |over_peer: &[f64]| Target::AtMost(0.5).judge(&[0.9; 9], Some(&near(1.0, over_peer)));
        assert_eq!(costs(&[0.8, 0.9, 1.1]), Verdict::Limit);
        assert_eq!(costs(&[0.8, 1.0, 1.1]), Verdict::Missed);
        assert_eq!(costs(&[]), Verdict::Missed);
    }

    #[test]
    fn without_a_peer_nobody_can_be_ahead() {
        let judge = |of_ceiling, target: Target| {
            target.judge(&[0.4; 9], Some(&NearCeiling { of_ceiling, over_peer: None }))
        };
        assert_eq!(judge(0.8, Target::MedianAtLeast(0.5)), Verdict::Limit);
        assert_eq!(judge(0.79, Target::MedianAtLeast(0.5)), Verdict::Missed);
        assert_eq!(judge(1.25, Target::AtMost(0.3)), Verdict::Limit);
        assert_eq!(judge(1.26, Target::AtMost(0.3)), Verdict::Missed);
    }

    #[test]
    fn shares_of_the_limit_are_judged_by_the_lower_quartile_however_near_to_one() {
        assert_eq!(Target::ShareAtLeast(0.8).judge(&[0.7, 0.9, 0.9], None), Verdict::Met);
        assert_eq!(Target::ShareAtLeast(0.8).judge(&[0.7, 0.8, 0.9], None), Verdict::Missed);
        assert_eq!(Target::ShareAtLeast(3.0).judge(&NINE, None), Verdict::Met);
        assert_eq!(Target::ShareAtLeast(3.1).judge(&NINE, None), Verdict::Missed);
        assert_eq!(Target::ShareAtLeast(0.8).judge(&[f64::NAN; 3], None), Verdict::Missed);
    }

    #[test]
    fn what_is_within_noise_is_reported() {
        for ratio in [0.1, 1.0, 10.0] {
            assert_eq!(
                Target::AtLeast(1.29).judge(&[ratio; 9], Some(&near(1.0, &[ratio; 9]))),
                Verdict::Reported
            );
            assert_eq!(Target::AtMost(0.8).judge(&[ratio; 9], None), Verdict::Reported);
            assert_eq!(Target::None.judge(&[ratio; 9], None), Verdict::Reported);
        }
        assert_eq!(Target::AtLeast(1.3).judge(&[1.2; 9], None), Verdict::Missed);
    }

    #[test]
    fn bounds_are_judged_by_the_median_however_near_to_one() {
        assert_eq!(Target::MedianAtMost(1.1).judge(&[1.0, 1.1, 9.0], None), Verdict::Met);
        assert_eq!(Target::MedianAtMost(1.1).judge(&[1.0, 1.2, 1.2], None), Verdict::Missed);
        assert_eq!(Target::MedianAtLeast(0.8).judge(&[0.1, 0.8, 0.9], None), Verdict::Met);
        assert_eq!(Target::MedianAtLeast(0.8).judge(&[0.7, 0.7, 0.9], None), Verdict::Missed);
    }

    #[test]
    fn bytes_are_judged_as_they_are() {
        let target = Target::BytesAtMost(596.0);
        assert!(target.is_absolute() && !Target::MedianAtMost(1.1).is_absolute());
        assert_eq!(target.to_string(), "<= 596B");
        assert_eq!(target.judge(&[596.0], None), Verdict::Met);
        assert_eq!(target.judge(&[597.0], None), Verdict::Missed);
        assert_eq!(target.judge(&[], None), Verdict::Missed);
    }

    #[test]
    fn nothing_measured_meets_nothing() {
        assert_eq!(
            Target::AtLeast(2.0).judge(&[f64::NAN; 3], Some(&near(1.0, &[f64::NAN; 3]))),
            Verdict::Missed
        );
        assert_eq!(Target::AtMost(0.5).judge(&[], None), Verdict::Missed);
    }
}
