//! Which endpoint a connection goes to: priorities first, then the less loaded of two
//! drawn by weight.
//!
//! Pure: weights, loads and the seed come in, an index goes out. As Envoy does it
//! (LEAST_REQUEST and priority levels with the overprovisioning factor of 1.4), so that
//! shares are those that mesh operators know.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
};

/// The endpoints of a route that may be used, by priority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels(Box<[Level]>);

/// The endpoints of one priority.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    /// Percent of all connections that this level can take; above 100 with room to spare.
    available: u32,
    /// Who is drawn, each with the sum of the weights up to and including its own.
    ends: Box<[(usize, u64)]>,
}

/// What the choice knows about one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// 0 is used first.
    pub priority: u8,
    /// Its share within its priority.
    pub weight: NonZeroU32,
    /// Whether it may be used.
    pub usable: bool,
}

/// Indices that must not be drawn, in order and without allocation.
#[derive(Debug, Default)]
struct Taken {
    at: [usize; MAX_TRIED + 1],
    count: usize,
}

/// A source of numbers that is a pure function of its seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Levels {
    /// Sorts the candidates of a route; a pick names their places.
    #[must_use]
    pub fn new(candidates: &[Candidate]) -> Self {
        let mut priorities: Vec<u8> = candidates.iter().map(|c| c.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let levels = priorities.into_iter().map(|p| Level::new(candidates, p));
        Self(levels.filter(|level| !level.ends.is_empty()).collect())
    }

    /// Chooses an endpoint that is not in `tried`; none when no usable one is left.
    /// At most
    /// [`MAX_TRIED`] places count. `load` gives the open connections of the endpoint at a place.
    pub fn pick(
        &self,
        tried: &[usize],
        load: impl Fn(usize) -> u32,
        dice: &mut Dice,
    ) -> Option<usize> {
        let first = self.level(dice)?;
        std::iter::once(first)
            .chain(&self.0[..])
            .find_map(|level| level.pick(tried, &load, dice))
    }

    /// Chooses for a client's address, always the same as long as that endpoint is usable:
    /// of each pair of client and endpoint a number is made, and the highest by weight wins
    /// (rendezvous hashing), so that an endpoint that comes or goes moves only its own part.
    pub fn pick_for(
        &self,
        client: IpAddr,
        tried: &[usize],
        address: impl Fn(usize) -> SocketAddr,
    ) -> Option<usize> {
        let score = |place: usize, weight: u64| {
            let mut hasher = DefaultHasher::new();
            (client, address(place)).hash(&mut hasher);
            // -weight/ln(u) with u in (0, 1) (Thaler and Ravishankar, weighted).
            let u = (Dice::new(hasher.finish()).next() >> 11) as f64 + 0.5;
            -(weight as f64) / (u / (1_u64 << 53) as f64).ln()
        };
        self.0.iter().find_map(|level| {
            let places = level.ends.iter().enumerate();
            let left = places.filter(|(_, (place, _))| !tried.contains(place));
            let scored = left.map(|(i, &(place, _))| (place, score(place, level.weight(i))));
            let best = scored.max_by(|(_, a), (_, b)| a.total_cmp(b));
            best.map(|(place, _)| place)
        })
    }

    /// Draws a level: each takes what it can of what those before it left over.
    fn level(&self, dice: &mut Dice) -> Option<&Level> {
        if let [only] = &*self.0 {
            return Some(only);
        }
        let can_take: u32 = self.0.iter().map(|level| level.available).sum();
        let mut drawn = dice.below(can_take.min(100).into())?;
        self.0.iter().find(|level| {
            let here = drawn < u64::from(level.available);
            drawn = drawn.saturating_sub(level.available.into());
            here
        })
    }
}

impl Level {
    fn new(candidates: &[Candidate], priority: u8) -> Self {
        let (mut all, mut sum, mut ends) = (0_u32, 0, Vec::new());
        for (place, candidate) in candidates.iter().enumerate() {
            if candidate.priority != priority {
                continue;
            }
            all += 1;
            if candidate.usable {
                sum += u64::from(candidate.weight.get());
                ends.push((place, sum));
            }
        }
        let usable = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        let available = usable.saturating_mul(OVERPROVISIONED).checked_div(all);
        Self {
            available: available.unwrap_or(0).max(1),
            ends: ends.into(),
        }
    }

    /// The less loaded, by load over weight, of two different ones drawn by weight; the
    /// one drawn first when they are equal, so that idle endpoints get their weights.
    fn pick(
        &self,
        tried: &[usize],
        load: &impl Fn(usize) -> u32,
        dice: &mut Dice,
    ) -> Option<usize> {
        let mut taken = Taken::default();
        for place in tried {
            if let Ok(i) = self.ends.binary_search_by_key(place, |&(place, _)| place) {
                taken.add(i);
            }
        }
        let one = self.draw(&taken, dice)?;
        taken.add(one);
        let Some(two) = self.draw(&taken, dice) else {
            return Some(self.ends[one].0);
        };
        let burden = |i: usize| u64::from(load(self.ends[i].0));
        let less = burden(two) * self.weight(one) < burden(one) * self.weight(two);
        Some(self.ends[if less { two } else { one }].0)
    }

    /// Draws by weight among those whose index is not in `taken`: a number
    /// below the rest's sum, moved past each taken interval that does not lie behind it.
    fn draw(&self, taken: &Taken, dice: &mut Dice) -> Option<usize> {
        let all = self.ends.last().map_or(0, |&(_, end)| end);
        let gone: u64 = taken.sorted().iter().map(|&i| self.weight(i)).sum();
        let mut drawn = dice.below(all - gone)?;
        for &i in taken.sorted() {
            let begin = self.ends[i].1 - self.weight(i);
            if drawn >= begin {
                drawn += self.weight(i);
            }
        }
        Some(self.ends.partition_point(|&(_, end)| end <= drawn))
    }

    fn weight(&self, i: usize) -> u64 {
        let before = i.checked_sub(1).map_or(0, |before| self.ends[before].1);
        self.ends[i].1 - before
    }
}

impl Taken {
    /// Keeps `i`; beyond the space there is, it may be drawn again.
    fn add(&mut self, i: usize) {
        if let Some(space) = self.at.get_mut(self.count) {
            *space = i;
            self.count += 1;
            self.at[..self.count].sort_unstable();
        }
    }

    fn sorted(&self) -> &[usize] {
        &self.at[..self.count]
    }
}

impl Dice {
    /// Numbers that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, or none below 0. The bias is below 2^-32 for the sums of
    /// weights that occur.
    pub fn below(&mut self, bound: u64) -> Option<u64> {
        let wide = u128::from(self.next()) * u128::from(bound);
        (bound > 0).then_some((wide >> 64) as u64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The most endpoints that one connection may have tried before.
pub const MAX_TRIED: usize = 8;
/// Envoy's overprovisioning factor, in percent.
const OVERPROVISIONED: u32 = 140;

#[cfg(test)]
mod tests;
