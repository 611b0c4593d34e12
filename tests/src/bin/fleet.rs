//! `fleet`: a registrar and two nodes on a ZFS that holds nothing, for programs that read metrics or status. Says where
//! they are as one line of JSON, and goes on until its standard input is closed.

use anyhow::Result;
use bootstash_agent::follow::Intervals;
use bootstash_tests::load::Fleet;

const NODES: usize = 2;
const IMAGES: [&str; 3] = ["alpine", "debian12", "debian12-nginx"];

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = Fleet::start_monitored(NODES, Intervals::default()).await?;
    for image in IMAGES {
        fleet.register(image).await?;
    }
    fleet.in_step().await?;
    let (socket, listen) = fleet.registrar();
    let where_they_are =
        serde_json::json!({ "socket": socket, "registrar": listen, "agents": fleet.metrics_addresses() });
    println!("{where_they_are}");
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()))
        .await??;
    fleet.stop().await
}
