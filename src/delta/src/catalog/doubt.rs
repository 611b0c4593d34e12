//! Why a boot cache is trusted little, told from the record of its boots. Pure.

use super::{BootRecord, BootSignal, Confidence, Manifest, Unbooted};
use std::fmt;

/// Why a boot cache may lack something that a boot reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It was adopted, and nothing is known of its boots.
    NoBoots,
    /// That boot counts as complete only because nothing happened any more.
    NoSignal {
        /// Its number, from 1.
        boot: usize,
    },
    /// There was no second boot to show that the first had read all.
    OneBoot,
    /// The nodes were given the cache before all boots were made.
    MoreToFollow {
        /// How many were made.
        made: usize,
        /// How many are still to be.
        to_follow: u32,
    },
    /// The last boot still read what none before had.
    StillNew {
        /// How many boots there were.
        boots: usize,
        /// How much the last one added.
        clusters: u64,
    },
    /// It does not come up on that hardware, so that nothing is known of what a boot there reads.
    Unbooted {
        /// The name of the profile.
        profile: String,
        /// What ended the boot.
        why: String,
    },
    /// Its manifest says so, and not why.
    Recorded,
}

impl Doubt {
    /// What speaks against a cache after these boots; none where each gave a signal, and the last read nothing that
    /// no other had read.
    pub fn after(boots: &[BootRecord]) -> Option<Self> {
        if let Some(quiet) = boots.iter().position(|boot| boot.signal == BootSignal::Quiet) {
            return Some(Self::NoSignal { boot: quiet + 1 });
        }
        match boots {
            [] => Some(Self::NoBoots),
            [_] => Some(Self::OneBoot),
            [.., last] if last.new_clusters > 0 => {
                Some(Self::StillNew { boots: boots.len(), clusters: last.new_clusters })
            }
            _ => None,
        }
    }
}

impl Confidence {
    /// After these boots.
    pub fn after(boots: &[BootRecord]) -> Self {
        if Doubt::after(boots).is_none() { Self::High } else { Self::Low }
    }
}

impl Manifest {
    /// Why the cache is trusted little; none where it is not.
    pub fn doubt(&self) -> Option<Doubt> {
        match self.confidence {
            Confidence::High => None,
            Confidence::Low => self
                .more_to_follow()
                .or_else(|| Doubt::after(&self.boots))
                .or_else(|| self.unbooted())
                .or(Some(Doubt::Recorded)),
        }
    }

    fn more_to_follow(&self) -> Option<Doubt> {
        let (made, to_follow) = (self.boots.len(), self.boots_to_follow);
        (to_follow > 0).then_some(Doubt::MoreToFollow { made, to_follow })
    }

    fn unbooted(&self) -> Option<Doubt> {
        let Unbooted { profile, why } = self.unbooted.first()?.clone();
        Some(Doubt::Unbooted { profile, why })
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBoots => f.write_str("no boot is on record for it"),
            Self::NoSignal { boot } => write!(
                f,
                "boot {boot} showed neither a login prompt on its serial console nor an answering guest agent, and \
                 counts as complete because nothing more happened"
            ),
            Self::OneBoot => f.write_str("only one boot was made, and none to show that it had read all"),
            Self::MoreToFollow { made, to_follow } => write!(
                f,
                "{made} of its {} boots are made; the others follow, and nodes then have what they add \
                 (`bootstash jobs` shows them; where they failed, registering it again makes them)",
                made + *to_follow as usize
            ),
            Self::StillNew { boots, clusters } => {
                write!(
                    f,
                    "the last of {boots} boots still read {clusters} clusters that no boot before had read"
                )
            }
            Self::Unbooted { profile, why } => write!(
                f,
                "it does not come up on the hardware profile {profile} ({why}); what VMs on such hardware read is not \
                 known. Where there are none, register it with --profile and the others"
            ),
            Self::Recorded => f.write_str("its manifest says so"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(signal: BootSignal, new_clusters: u64) -> BootRecord {
        BootRecord {
            seconds: 1.0,
            base_bytes: 0,
            new_clusters,
            signal,
            profile: None,
            began_seconds: 0.0,
            retried_after: None,
        }
    }

    #[test]
    fn trust_needs_a_signal_in_each_boot_and_a_last_boot_without_news() {
        use BootSignal::{GuestAgent, LoginPrompt, Quiet};
        let cases = [
            (vec![boot(LoginPrompt, 9), boot(GuestAgent, 0)], None),
            (
                vec![boot(LoginPrompt, 9), boot(LoginPrompt, 1)],
                Some(Doubt::StillNew { boots: 2, clusters: 1 }),
            ),
            (vec![boot(Quiet, 9), boot(LoginPrompt, 0)], Some(Doubt::NoSignal { boot: 1 })),
            (vec![boot(LoginPrompt, 9)], Some(Doubt::OneBoot)),
            (vec![], Some(Doubt::NoBoots)),
        ];
        for (boots, wanted) in cases {
            assert_eq!(Doubt::after(&boots), wanted, "{boots:?}");
            assert_eq!(Confidence::after(&boots) == Confidence::High, wanted.is_none(), "{boots:?}");
        }
    }
}
