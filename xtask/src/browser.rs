//! The browser that the demo is tested in, and the driver through which.

use std::path::PathBuf;
use std::process::Command;

use crate::programs::{Package, Programs};
use crate::steps::progress;

/// The programs, and the variables by which the test is told where they are.
const KNOWN: [(&str, &str); 2] =
    [("chromium", "SESSION_TEST_CHROMIUM"), ("chromedriver", "SESSION_TEST_CHROMEDRIVER")];

#[derive(Default)]
pub(crate) struct Browser {
    environment: Vec<(&'static str, PathBuf)>,
}

impl Browser {
    /// Finds or installs what the caller has not named. What stays missing is an `Err`, unless that is allowed.
    pub(crate) fn prepare(&mut self, allow_missing: bool) -> Result<(), String> {
        let is_named = |variable: &str| std::env::var_os(variable).is_some_and(|path| !path.is_empty());
        let Some(package) = package_of_unnamed(is_named) else { return Ok(()) };
        match Programs::default().of(&package) {
            Ok(programs) => {
                self.environment = KNOWN
                    .iter()
                    .filter_map(|(program, variable)| Some((*variable, programs.get(program)?.clone())))
                    .collect();
                Ok(())
            }
            Err(reason) if allow_missing => {
                progress(&format!("browser: {reason}"));
                Ok(())
            }
            Err(reason) => Err(format!("{reason}; --allow-missing goes on without")),
        }
    }

    /// Tells a test where the programs are.
    pub(crate) fn describe_to(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(variable, path)| (variable, path)));
    }
}

/// The driver's package, which brings the browser of its own version with it.
fn package_of_unnamed(is_named: impl Fn(&str) -> bool) -> Option<Package> {
    let unnamed: Vec<_> = KNOWN.into_iter().filter(|(_, variable)| !is_named(variable)).collect();
    let programs: Vec<_> = unnamed.iter().map(|(program, _)| *program).collect();
    let variables: Vec<_> = unnamed.iter().map(|(_, variable)| *variable).collect();
    let instead = format!("name what there is in {}", variables.join(" and "));
    (!programs.is_empty()).then(|| Package {
        name: "chromium-driver",
        programs,
        directories: Vec::new(),
        instead,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_caller_has_not_named_is_looked_for() {
        assert!(package_of_unnamed(|_| true).is_none());
        let both = package_of_unnamed(|_| false).unwrap();
        assert_eq!((both.name, both.programs), ("chromium-driver", vec!["chromium", "chromedriver"]));
        assert!(both.instead.contains("SESSION_TEST_CHROMIUM and SESSION_TEST_CHROMEDRIVER"));
        let driver = package_of_unnamed(|variable| variable == "SESSION_TEST_CHROMIUM").unwrap();
        assert_eq!(driver.programs, ["chromedriver"]);
    }

    #[test]
    fn a_test_is_told_where_the_programs_are() {
        let browser = Browser { environment: vec![("SESSION_TEST_CHROMIUM", "/opt/chromium".into())] };
        let mut command = Command::new("cargo");
        browser.describe_to(&mut command);
        let told: Vec<_> = command.get_envs().collect();
        assert_eq!(told, [("SESSION_TEST_CHROMIUM".as_ref(), Some("/opt/chromium".as_ref()))]);
    }
}
