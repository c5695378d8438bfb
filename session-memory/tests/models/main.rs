//! Sessions against models, on the one store that is fast enough for thousands of histories.

#[cfg(test)]
mod overwrites;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod serial;
#[cfg(test)]
mod tokens;
