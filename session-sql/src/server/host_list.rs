//! Several hosts in one URL, as libpq writes them: `role@first:5432,second:5433/database`.

/// The part of a URL behind `scheme://` once for each of its hosts.
pub(crate) fn split(rest: &str) -> Result<Vec<String>, &'static str> {
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let (account, hosts) = authority.rfind('@').map_or(("", authority), |at| authority.split_at(at + 1));
    if !hosts.contains(',') {
        return Ok(vec![rest.to_owned()]);
    }
    if hosts.split(',').any(str::is_empty) {
        return Err("a place in the list of hosts is empty");
    }
    Ok(hosts.split(',').map(|host| format!("{account}{host}{path}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_url_of_its_own() {
        for (rest, expected) in [
            ("host", &["host"][..]),
            ("", &[""]),
            ("/db", &["/db"]),
            ("role:a,b@host:1/d,b", &["role:a,b@host:1/d,b"]),
            ("role:a,b@x:1,[::1]:2,y/d,b", &["role:a,b@x:1/d,b", "role:a,b@[::1]:2/d,b", "role:a,b@y/d,b"]),
            ("x,y", &["x", "y"]),
        ] {
            assert_eq!(split(rest).unwrap(), expected, "{rest}");
        }
        for rest in ["x,", ",x/db", "role@x,,y/db", "role@,/db"] {
            split(rest).unwrap_err();
        }
    }
}
