//! A folder that is replaced while it is served.

use super::*;

#[test]
fn a_folder_that_takes_the_place_of_another_is_served_after_a_second() {
    let world = World::new();
    for release in ["one", "two"] {
        std::fs::create_dir(world.outside.path().join(release)).unwrap();
        std::fs::write(world.outside.path().join(release).join("a.txt"), release).unwrap();
    }
    let current = world.outside.path().join("current");
    symlink("one", &current).unwrap();
    let root = Root::open(&files("\"current\""), world.outside.path()).unwrap();
    let text = |ms| get(&root, "/a.txt").at(now() + Duration::from_millis(ms)).seen().text().to_owned();
    assert_eq!(text(0), "one");
    std::fs::remove_file(&current).unwrap();
    assert_eq!(text(2000), "one", "while nothing is there, what was there is served");
    symlink("two", &current).unwrap();
    assert_eq!(text(2999), "one");
    assert_eq!(text(3000), "two");
}

#[test]
fn a_folder_that_is_made_anew_is_served_again() {
    let world = World::new();
    let root = world.write("a.txt", "one").open();
    assert_eq!(get(&root, "/a.txt").seen().text(), "one");
    std::fs::remove_dir_all(world.path("")).unwrap();
    assert_eq!(get(&root, "/a.txt").status(), 404);
    world.write("a.txt", "two");
    let later = now() + Duration::from_secs(1);
    assert_eq!(get(&root, "/a.txt").at(later).seen().text(), "two");
    let at_once =
        root.answer_now(&get(&root, "/a.txt").request, later + Duration::from_secs(9), &Recent::default());
    assert_eq!(Seen::of(at_once.expect("the folder's path is in memory")).text(), "two");
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was() {
    let world = World::new();
    let root = world.write("a.txt", "before").write("b.txt", "after!").open();
    let answer = get(&root, "/a.txt").answer();
    std::fs::rename(world.path("b.txt"), world.path("a.txt")).unwrap();
    assert_eq!(read(answer.body), b"before");
}
