//! What every ZFS behind the trait must do: one list of cases, run over the fake here, over a
//! real one in `real`.

mod destroying;
mod fake;
mod fixture;
mod making;
mod real;
mod receiving;
mod resuming;
mod sending;
mod viewing;

pub use fixture::{DirectAccess, Files, Fixture};
pub use real::{Driver, on_real_zfs};

use anyhow::Result;
use futures::future::BoxFuture;

/// One case: it gets a fixture of its own and fails with an error.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name of its function, and of its trial.
    pub name: &'static str,
    /// Runs it over the ZFS of a fixture.
    pub run: for<'a> fn(&'a Fixture) -> BoxFuture<'a, Result<()>>,
}

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// All cases.
        pub const CASES: &[Case] = &[
            $(Case { name: stringify!($name), run: |fixture| Box::pin($module::$name(fixture)) }),*
        ];

        #[cfg(test)]
        mod over_the_fake {
            $(
                #[tokio::test]
                async fn $name() -> anyhow::Result<()> {
                    let dir = tempfile::tempdir()?;
                    let fixture = super::fake::fixture(dir.path()).await?;
                    super::$module::$name(&fixture).await
                }
            )*
        }
    };
}

cases! {
    making::create_makes_what_was_asked_and_then_changes_nothing,
    making::create_sets_the_properties_on_what_is_there,
    making::create_refuses_what_is_not_ours,
    making::create_names_a_missing_parent,
    making::a_role_is_not_inherited,
    making::mount_happens_once,
    making::an_owner_is_noted_once_and_not_inherited,
    making::children_come_in_order_of_name,
    making::snapshots_come_in_order_with_guids_of_their_own,
    making::taking_a_snapshot_again_gives_the_one_that_is_there,
    making::a_snapshot_is_marked_as_ours,
    making::a_bookmark_outlives_its_snapshot,
    making::missing_things_are_missing,
    making::usage_tells_what_is_there,
    making::the_dedup_table_is_prefetched_where_zfs_can,
    sending::a_full_stream_gives_the_same_guid_and_bytes,
    sending::an_increment_gives_the_same_guid_and_bytes,
    sending::what_was_received_is_ours_and_not_mounted,
    sending::send_names_the_missing_snapshot,
    sending::a_stream_dropped_half_way_hurts_nothing,
    receiving::an_increment_wants_its_base,
    receiving::an_increment_wants_a_file_system,
    receiving::a_full_stream_wants_no_file_system,
    receiving::a_modified_file_system_is_refused,
    receiving::a_foreign_file_system_is_refused,
    receiving::a_missing_parent_is_named,
    receiving::a_short_stream_changes_nothing,
    receiving::a_flipped_byte_changes_nothing,
    receiving::garbage_makes_nothing,
    receiving::an_empty_stream_makes_nothing,
    receiving::a_source_that_breaks_changes_nothing,
    receiving::a_receive_that_is_dropped_changes_nothing,
    receiving::a_second_receive_at_once_is_refused,
    receiving::a_full_pool_changes_nothing,
    receiving::a_quota_changes_nothing,
    resuming::a_cut_receive_goes_on,
    resuming::a_rest_can_be_cut_again,
    resuming::a_token_of_what_is_gone_is_stale,
    resuming::a_token_sends_only_what_it_was_asked_of,
    resuming::a_cut_increment_can_be_given_up,
    resuming::a_size_is_estimated_where_zfs_can,
    viewing::a_view_shows_its_snapshot_while_newer_ones_come,
    viewing::cloning_again_changes_nothing,
    viewing::clone_names_a_missing_snapshot,
    viewing::clone_refuses_what_is_not_ours,
    viewing::a_view_pins_its_snapshot,
    destroying::destroy_takes_snapshots_along_and_then_finds_nothing,
    destroying::destroy_spares_children,
    destroying::destroy_spares_what_is_not_ours,
    destroying::destroy_spares_snapshots_that_others_took,
    destroying::destroy_waits_out_a_use_that_just_ended,
    destroying::a_destroyed_snapshot_leaves_the_others,
}
