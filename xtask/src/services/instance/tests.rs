//! The life of an instance, with a shell script for a server.

use std::process::Command;

use super::*;

/// Waits for a writer that never comes, so it neither works nor ends.
const SERVER: &str = "echo >> starts; [ -e broken ] && exit 3; echo > ready; read line < never";

struct Script;

impl Service for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["sh"]
    }

    fn package_name(&self) -> &'static str {
        "dash"
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        setup.write_private("server", SERVER)?;
        let made = Command::new("mkfifo").arg(setup.directory.join("never")).status();
        if made.is_ok_and(|status| status.success()) { Ok(()) } else { Err("mkfifo failed".to_owned()) }
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let _ = fs::remove_file(setup.directory.join("ready"));
        let mut server = setup.command("sh");
        server.arg(setup.directory.join("server"));
        vec![server]
    }

    fn check(&self, setup: &Setup) -> Result<(), String> {
        let is_ready = setup.directory.join("ready").exists();
        if is_ready { Ok(()) } else { Err("not ready".to_owned()) }
    }

    fn url(&self, setup: &Setup) -> String {
        format!("script://{}@127.0.0.1:{}", setup.state.password, setup.port())
    }
}

/// A home with one instance, removed with all that runs in it.
struct Place {
    target: PathBuf,
    home: Option<Home>,
}

impl Place {
    fn new(name: &str) -> Self {
        let target = std::env::temp_dir().join(format!("xtask-instance-{name}-{}", std::process::id()));
        let home = Some(Home::lock(&target).unwrap());
        Self { target, home }
    }

    fn instance(&self) -> Instance<'static> {
        Instance::new(&Script, self.home.as_ref().unwrap())
    }

    fn up(&self, owner: Option<&str>) -> String {
        self.instance().up(owner, &mut Programs::default()).unwrap()
    }

    fn change_state(&self, change: impl FnOnce(&mut State)) {
        let path = self.instance().state_path();
        let mut state = State::read(&path).unwrap();
        change(&mut state);
        state.write(&path).unwrap();
    }

    /// How often a server has started in this directory.
    fn starts(&self) -> usize {
        fs::read_to_string(self.instance().directory.join("starts")).unwrap().lines().count()
    }

    fn kill(&self) {
        let servers = self.instance().servers();
        assert_eq!(servers.len(), 1);
        process::stop("KILL", &servers, STOP_PATIENCE, Vec::new).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.instance().down();
        self.home = None;
        let _ = fs::remove_dir_all(&self.target);
    }
}

#[test]
fn what_runs_is_left_alone() {
    let place = Place::new("runs");
    let url = place.up(None);
    let servers = place.instance().servers();
    assert_eq!(place.up(None), url);
    assert_eq!((place.instance().servers(), place.starts()), (servers, 1));
}

#[test]
fn what_was_killed_starts_again_with_its_data() {
    let place = Place::new("killed");
    let url = place.up(None);
    place.kill();
    assert_eq!(place.up(None), url);
    assert_eq!((place.instance().servers().len(), place.starts()), (1, 2));
}

#[test]
fn a_port_that_was_taken_meanwhile_is_left_to_its_new_owner() {
    let place = Place::new("port");
    place.up(None);
    place.kill();
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap().port();
    place.change_state(|state| state.ports = vec![taken]);
    assert!(!place.up(None).ends_with(&taken.to_string()));
}

#[test]
fn data_is_given_up_where_it_may_be_torn_but_the_url_stays() {
    let place = Place::new("torn");
    let url = place.up(None);
    for change in
        [(|state| state.boot = "an earlier one".to_owned()) as fn(&mut State), |state| state.prepared = false]
    {
        place.kill();
        place.change_state(change);
        assert_eq!(place.up(None), url);
        assert_eq!(place.starts(), 1);
    }
}

#[test]
fn data_with_which_the_server_does_not_start_is_given_up() {
    let place = Place::new("broken");
    let url = place.up(None);
    place.kill();
    fs::write(place.instance().directory.join("broken"), "").unwrap();
    assert_eq!(place.up(None), url);
    assert_eq!(place.starts(), 1);
}

#[test]
fn what_runs_without_a_state_is_replaced() {
    let place = Place::new("stateless");
    let url = place.up(None);
    let old = place.instance().servers();
    fs::remove_dir_all(&place.instance().directory).unwrap();
    assert_ne!(place.up(None), url);
    let new = place.instance().servers();
    assert_eq!(new.len(), 1);
    assert_ne!(new, old);
}

#[test]
fn down_leaves_nothing_and_may_come_twice() {
    let place = Place::new("down");
    place.up(None);
    assert_eq!(place.instance().down(), Ok(true));
    assert!(place.instance().processes().is_empty());
    assert!(!place.instance().directory.exists());
    assert_eq!(place.instance().down(), Ok(false));
}

#[test]
fn only_the_servers_of_this_directory_are_its_own() {
    let place = Place::new("own");
    let instance = place.instance();
    let path = |name: &str| format!("{}{name}", instance.directory.display());
    let is_server = |program: &str, argument: String| instance.is_server(&[program.to_owned(), argument]);
    assert!(is_server("/bin/sh", path("/server")));
    assert!(is_server("sh", path("")));
    assert!(!is_server("tail", path("/log")));
    assert!(!is_server("sh", path("-tls/server")));
    assert!(!is_server("sh", "server".to_owned()));
    assert!(!instance.is_server(&[path("/sh")]));
}

#[test]
fn it_belongs_to_the_last_test_run_unless_it_was_asked_for_by_hand() {
    let place = Place::new("belongs");
    let owner = |run| place.instance().belongs_to(run);
    assert!(owner("first"), "what has not begun is in nobody's way");
    place.up(Some("first"));
    assert!(owner("first") && !owner("second"));
    place.up(Some("second"));
    assert!(!owner("first") && owner("second"));
    place.up(None);
    assert!(!owner("second"));
    place.up(Some("third"));
    assert!(!owner("third"));

    place.kill();
    place.up(Some("fourth"));
    assert!(owner("fourth"), "who starts it stops it");
}

#[test]
fn a_server_that_ends_at_once_is_reported_with_its_log() {
    let place = Place::new("ends");
    let instance = place.instance();
    Setup::create_directory(&instance.directory, None).unwrap();
    let programs = Programs::default().of(&Script.package()).unwrap();
    let setup = instance.setup(State::new(None).unwrap(), &programs).unwrap();
    Script.prepare(&setup).unwrap();
    fs::write(instance.directory.join("server"), "echo why; exit 3").unwrap();
    let reason = instance.start(setup).unwrap_err();
    assert!(reason.contains("exit status: 3") && reason.ends_with("why"), "{reason}");
}
