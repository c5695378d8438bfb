//! Questions to a Redis in its own protocol: what is asked while a service starts is a few commands, for which
//! no client is needed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

pub(super) struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    /// Signs in first, if a password is needed.
    pub(super) fn new(stream: TcpStream, password: Option<&str>) -> Result<Self, String> {
        let mut resp = Self { stream: BufReader::new(stream) };
        if let Some(password) = password {
            resp.ask(&["AUTH", password])?;
        }
        Ok(resp)
    }

    /// The answer, an array's elements one per line. An error of the server is an `Err`.
    pub(super) fn ask(&mut self, command: &[&str]) -> Result<String, String> {
        let mut request = format!("*{}\r\n", command.len());
        command.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
        let lost = |error: io::Error| error.to_string();
        self.stream.get_mut().write_all(request.as_bytes()).map_err(lost)?;
        let mut words = Vec::new();
        self.read(&mut words).map_err(lost)??;
        Ok(words.join("\n"))
    }

    fn read(&mut self, words: &mut Vec<String>) -> io::Result<Result<(), String>> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some((kind, rest)) = line.trim_end().split_at_checked(1) else {
            return Err(io::Error::other("the connection was closed"));
        };
        let length = || rest.parse::<i64>().map_err(io::Error::other);
        match kind {
            "-" => return Ok(Err(rest.to_owned())),
            "$" => {
                if let Ok(length) = usize::try_from(length()?) {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    words.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
                }
            }
            "*" => {
                for _ in 0..length()? {
                    if let Err(error) = self.read(words)? {
                        return Ok(Err(error));
                    }
                }
            }
            _ => words.push(rest.to_owned()),
        }
        Ok(Ok(()))
    }
}

/// The value of a field, as in `master_link_status:up`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next().unwrap_or_default().trim()
}

/// `Err` with what the server says instead.
pub(super) fn expect(text: &str, name: &str, value: &str) -> Result<(), String> {
    match field(text, name) {
        found if found == value => Ok(()),
        found => Err(format!("{name} is `{found}`, not yet `{value}`")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What the client makes of these bytes.
    fn answered(bytes: &'static [u8]) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let (mut server, _) = listener.accept().unwrap();
            server.read_exact(&mut [0; 14]).unwrap();
            server.write_all(bytes).unwrap();
        });
        let answer = Resp::new(stream, None).unwrap().ask(&["PING"]);
        server.join().unwrap();
        answer
    }

    #[test]
    fn answers_of_every_kind_are_read() {
        assert_eq!(answered(b"+PONG\r\n"), Ok("PONG".to_owned()));
        assert_eq!(answered(b":7\r\n"), Ok("7".to_owned()));
        assert_eq!(answered(b"$5\r\na\r\nbc\r\n"), Ok("a\r\nbc".to_owned()));
        assert_eq!(answered(b"*-1\r\n"), Ok(String::new()));
        assert_eq!(answered(b"*2\r\n$1\r\na\r\n*1\r\n:2\r\n"), Ok("a\n2".to_owned()));
        assert_eq!(answered(b"-ERR no\r\n"), Err("ERR no".to_owned()));
        assert!(answered(b"").is_err());
        assert!(answered(b"$9\r\na").is_err());
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "# Replication\r\nrole:slave\r\nslave:1\r\nmaster_link_status:up\r\n";
        assert_eq!(field(text, "master_link_status"), "up");
        assert_eq!(field(text, "master"), "");
        assert!(expect(text, "role", "slave").is_ok());
        assert_eq!(expect(text, "role", "master").unwrap_err(), "role is `slave`, not yet `master`");
    }
}
