//! Random numbers that can be had again.

pub struct Dice(u64);

impl Dice {
    /// `STRONGROOM_SEED` in the place of `seed` repeats another run.
    pub fn new(seed: u64) -> Self {
        let chosen = std::env::var("STRONGROOM_SEED").ok();
        Self(chosen.map_or(seed, |seed| seed.parse().expect("a number")))
    }

    /// The dice of one case, so that it can be repeated without those before it.
    pub fn of_case(seed: u64, case: u64) -> Self {
        Self(Self(seed ^ case.wrapping_mul(0xd134_2543_de82_ef95)).next())
    }

    /// `SplitMix64`.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
