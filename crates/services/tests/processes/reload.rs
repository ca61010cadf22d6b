//! What a reload touches, and what it leaves alone.

use crate::Test;
use crate::world::{World, ask, block_on, parse, pids, ready, runs, status, until};
use services::Change;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("what_did_not_change_keeps_its_processes", what_did_not_change_keeps_its_processes),
    ("another_number_of_instances_starts_or_ends_only_the_difference", scaling_touches_only_the_difference),
    ("a_changed_program_is_replaced_without_a_moment_of_absence", replaced_without_absence),
    ("a_replacement_that_does_not_work_leaves_the_old_one_in_place", a_broken_replacement_changes_nothing),
    ("a_service_that_serves_nobody_is_ended_before_its_successor_starts", idle_is_replaced_in_sequence),
    ("a_removed_service_ends_and_an_added_one_starts", removed_and_added),
    ("a_reload_that_cannot_work_changes_nothing", a_reload_that_cannot_work_changes_nothing),
    ("a_stop_in_the_middle_of_a_replacement_leaves_nothing", a_stop_in_the_middle),
];

fn shop(instances: u32, version: &str) -> String {
    format!(
        "[shop]\nrun = ['$NINES', 'serve', '$PORT', '{version}']\ninstances = {instances}\nstop = {{ drain = '10ms' }}\n"
    )
}

fn what_did_not_change_keeps_its_processes() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(2, "v1")).unwrap();
        ready(&services, "shop", 2).await;
        let before = pids(&services, "shop");
        assert_eq!(services.reload(parse(&shop(2, "v1"))).unwrap(), []);
        let cared = shop(2, "v1") + "restart = { after = '1s' }\nhealth = { tcp = true }";
        assert_eq!(services.reload(parse(&cared)).unwrap(), [Change::Adjusted("shop".into())]);
        // Time for anything that was set in motion by mistake to show.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(pids(&services, "shop"), before);
        services.stop().await;
    });
}

fn scaling_touches_only_the_difference() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(2, "v1")).unwrap();
        ready(&services, "shop", 2).await;
        let two = pids(&services, "shop");
        let change = Change::Scaled { service: "shop".into(), from: 2, to: 4 };
        assert_eq!(services.reload(parse(&shop(4, "v1"))).unwrap(), [change]);
        ready(&services, "shop", 4).await;
        let four = pids(&services, "shop");
        assert_eq!(four[..2], two);
        services.reload(parse(&shop(1, "v1"))).unwrap();
        ready(&services, "shop", 1).await;
        until("the others have ended", || four[1..].iter().all(|&pid| !runs(pid))).await;
        assert_eq!(pids(&services, "shop"), two[..1]);
        services.reload(parse(&shop(0, "v1"))).unwrap();
        until("none is left", || status(&services, "shop").is_empty()).await;
        services.stop().await;
    });
}

fn replaced_without_absence() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(2, "v1")).unwrap();
        ready(&services, "shop", 2).await;
        let old = pids(&services, "shop");
        let mut seen = services.instances("shop").unwrap();
        assert_eq!(services.reload(parse(&shop(2, "v2"))).unwrap(), [Change::Replaced("shop".into())]);
        let is_new = |address| ask(address).ends_with(" v2");
        // Every state that a pool can see has two instances that answer.
        loop {
            let list = seen.borrow_and_update().clone();
            assert_eq!(list.iter().map(|each| each.id.as_str()).collect::<Vec<_>>(), ["shop-1", "shop-2"]);
            assert!(list.iter().all(|each| each.ready));
            if list.iter().all(|each| is_new(each.address)) {
                break;
            }
            seen.changed().await.unwrap();
        }
        until("the old ones have ended", || old.iter().all(|&pid| !runs(pid))).await;
        services.stop().await;
    });
}

fn a_broken_replacement_changes_nothing() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(1, "v1")).unwrap();
        let address = ready(&services, "shop", 1).await[0].address;
        let broken = "[shop]\nrun = ['/bin/sh', '-c', 'exit 9']\nrestart = { after = '5ms', after_max = '10ms' }\nstop = { drain = '10ms' }";
        services.reload(parse(broken)).unwrap();
        let tried = || status(&services, "shop").iter().any(|row| row.restarts >= 3);
        until("the new one has failed some times", tried).await;
        assert_eq!(ready(&services, "shop", 1).await[0].address, address);
        assert_eq!(ask(address), "shop-1 v1");
        services.reload(parse(&shop(1, "v3"))).unwrap();
        let mut seen = services.instances("shop").unwrap();
        let moved = seen.wait_for(|list| list[0].address != address);
        let new = moved.await.unwrap()[0].address;
        assert_eq!(ask(new), "shop-1 v3");
        until("only one is left", || status(&services, "shop").len() == 1).await;
        services.stop().await;
    });
}

fn idle_is_replaced_in_sequence() {
    block_on(async {
        let world = World::new();
        // It works only alone: like a program that locks its data.
        let job = |version: &str| {
            let script = format!(
                "mkdir lock || exit 1; trap \"rmdir lock; exit\" TERM; echo {version} > up; while :; do sleep 0.01; done"
            );
            parse(&format!("[job]\nrun = ['/bin/sh', '-c', '{script}']"))
        };
        let services = services::Services::start(world.context(), job("1")).unwrap();
        until("the first runs", || std::fs::read_to_string(world.path("up")).is_ok_and(|up| up == "1\n"))
            .await;
        services.reload(job("2")).unwrap();
        until("the second runs", || std::fs::read_to_string(world.path("up")).is_ok_and(|up| up == "2\n"))
            .await;
        assert_eq!(status(&services, "job")[0].restarts, 0);
        services.stop().await;
        assert!(!world.path("lock").exists());
    });
}

fn removed_and_added() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(2, "v1")).unwrap();
        ready(&services, "shop", 2).await;
        let old = pids(&services, "shop");
        let mut seen = services.instances("shop").unwrap();
        let bar = shop(1, "v1").replace("[shop]", "[bar]");
        let changes = services.reload(parse(&bar)).unwrap();
        assert_eq!(changes, [Change::Removed("shop".into()), Change::Added("bar".into())]);
        assert!(services.instances("shop").is_none());
        assert_eq!(ask(ready(&services, "bar", 1).await[0].address), "bar-1 v1");
        seen.wait_for(Vec::is_empty).await.unwrap();
        until("the old ones have ended", || old.iter().all(|&pid| !runs(pid))).await;
        services.stop().await;
    });
}

fn a_reload_that_cannot_work_changes_nothing() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(1, "v1")).unwrap();
        ready(&services, "shop", 1).await;
        let before = pids(&services, "shop");
        let file = shop(3, "v2") + "[other]\nrun = ['./nothing']";
        let error = services.reload(parse(&file)).unwrap_err().to_string();
        assert!(error.starts_with("service other: program ./nothing: not found at "), "{error}");
        assert_eq!(pids(&services, "shop"), before);
        assert_eq!(services.status()[0].instances_wanted, 1);
        services.stop().await;
    });
}

fn a_stop_in_the_middle() {
    block_on(async {
        let world = World::new();
        let services = world.start(&shop(1, "v1")).unwrap();
        ready(&services, "shop", 1).await;
        let mute = "[shop]\nrun = ['/bin/sh', '-c', 'sleep 1000']";
        services.reload(parse(mute)).unwrap();
        until("old and new run side by side", || {
            status(&services, "shop").iter().filter_map(|row| row.pid).count() == 2
        })
        .await;
        let both: Vec<u32> = status(&services, "shop").iter().filter_map(|row| row.pid).collect();
        services.stop().await;
        assert!(both.iter().all(|&pid| !runs(pid)), "{both:?}");
    });
}
