//! The application, called without a socket, on a store in memory and by a clock that tests turn.

#[cfg(test)]
mod browser;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod password;
#[cfg(test)]
mod signing_in;
#[cfg(test)]
mod site;
