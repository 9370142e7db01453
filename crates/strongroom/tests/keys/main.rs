//! Keys of every kind on the real program: plugins, post-quantum keys and tokens beside the real age, passphrases at a real
//! terminal.

mod passphrases;
mod plugins;
mod shares;
mod tokens;

#[path = "../proof/scene.rs"]
#[expect(dead_code, reason = "these tests need a part of it")]
mod scene;
mod terminal;
