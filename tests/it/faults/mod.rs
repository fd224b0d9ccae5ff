//! What goes wrong on a bad day: peers that vanish, links that break, names that nobody knows, disks that are full.

#[cfg(debug_assertions)]
mod bugs;
mod crowds;
mod descriptors;
mod disk;
mod moments;
mod names;
mod network;
mod readers;
mod replacements;
mod upstreams;
