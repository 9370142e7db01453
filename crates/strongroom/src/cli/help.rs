//! What `strongroom help` and the end of each command's help say.

use crate::exit::{self, Exit};

/// The first screen. Written by hand, because the order and the groups are the point; a test keeps it complete.
pub(super) const SCREEN: &str = "\
{about}

Usage: strongroom COMMAND [OPTIONS]

  Begin     keygen       make the identity that opens snapshots, or a writer key
            init         create the repository
  Back up   backup       take a snapshot of every job, or of some
            verify       check that what is stored is whole and authentic
            check        say what a restore will need that a job leaves out
  Look      snapshots    list the snapshots
            show         list the entries of a snapshot, never their values
            get          print one value
            cat          write one file of a snapshot to standard output
            find         find entries by name in all snapshots
            history      when did an entry change, and which snapshot has it
            diff         what differs between two snapshots, or from live
  Restore   restore      plan a restore, then carry it out
            export       write entries in the form that another tool reads
            import       take a snapshot of what lies in files of another tool
  Keep      copy         copy snapshots to another repository as they are
            repair       put back what is damaged, from whoever has it
            prune        delete the snapshots that no rule keeps
            pin          keep a snapshot, whatever the rules say
            forget       mark snapshots for the next prune
  Keys      keys         list who can read and who may write
            rotate       seal what is stored to other recipients
            writer       make the key of a writer, or revoke one
            combine      bring back an identity from its shares
  Set up    doctor       try out the store, and say what is wrong
            config       print what is in force, and where it comes from
            policy       print the rights that strongroom needs
            etcd-backup  do what etcd-backup does, with its configuration
            completions  print a completion script for a shell
            man          print the manual
            help         this, or the help of one command

Example and exit codes of a command:  strongroom help COMMAND";

/// The end of a command's help: examples, then its exit codes.
pub(super) fn ending(examples: &[&str], exits: &[Exit]) -> String {
    let mut text = String::from(if examples.len() == 1 {
        "Example:\n"
    } else {
        "Examples:\n"
    });
    for example in examples {
        text.push_str("  strongroom ");
        text.push_str(example);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&exit::help(exits));
    text
}
