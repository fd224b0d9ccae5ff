//! What goes wrong on a bad day: peers that vanish, links that break, names that nobody knows, disks that are full.

mod descriptors;
mod disk;
mod names;
mod network;
