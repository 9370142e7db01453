//! Which snapshots stay, as the configuration says it.

use std::time::Duration;

use jiff::tz::TimeZone;
use repository::Policy;

use super::Setting;
use crate::units::Period;

pub(super) const MIN_AGE: Period = Period::seconds(7 * 24 * 3600);
pub(super) const GRACE: Period = Period::seconds(24 * 3600);

/// The rules for one job, or for all.
#[derive(Clone)]
pub(crate) struct Retention {
    pub(crate) keep_last: Option<Setting<u32>>,
    pub(crate) hourly: Option<Setting<u32>>,
    pub(crate) daily: Option<Setting<u32>>,
    pub(crate) weekly: Option<Setting<u32>>,
    pub(crate) monthly: Option<Setting<u32>>,
    pub(crate) yearly: Option<Setting<u32>>,
    pub(crate) within: Option<Setting<Period>>,
    pub(crate) max_age: Option<Setting<Period>>,
    pub(crate) min_count: Option<Setting<u32>>,
    pub(crate) min_age: Setting<Period>,
    pub(crate) time_zone: Setting<TimeZone>,
    pub(crate) grace: Setting<Period>,
}

impl Default for Retention {
    /// Without rules: everything stays.
    fn default() -> Self {
        Self {
            keep_last: None,
            hourly: None,
            daily: None,
            weekly: None,
            monthly: None,
            yearly: None,
            within: None,
            max_age: None,
            min_count: None,
            min_age: Setting::default(MIN_AGE),
            time_zone: Setting::default(TimeZone::UTC),
            grace: Setting::default(GRACE),
        }
    }
}

impl Retention {
    pub(crate) fn policy(&self) -> Policy {
        let count = |setting: &Option<Setting<u32>>| setting.as_ref().map_or(0, |it| it.value);
        let period = |setting: &Option<Setting<Period>>| -> Option<Duration> {
            setting.as_ref().map(|it| it.value.duration())
        };
        Policy {
            keep_last: count(&self.keep_last),
            hourly: count(&self.hourly),
            daily: count(&self.daily),
            weekly: count(&self.weekly),
            monthly: count(&self.monthly),
            yearly: count(&self.yearly),
            within: period(&self.within),
            max_age: period(&self.max_age),
            min_count: count(&self.min_count),
            min_age: self.min_age.value.duration(),
            zone: self.time_zone.value.clone(),
        }
    }
}

/// A zone by its name in the IANA database, which this host must know.
pub(super) fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let name = archive::Name::from(name);
        format!("this host knows no time zone {name}; write one like Europe/Zurich, or UTC")
    })
}
