//! Bodies on their way out.

use super::*;
use crate::Body;

#[test]
fn an_empty_body_has_no_piece() {
    assert!(Body::Empty.is_empty() && Body::Empty.into_pieces().next().is_none());
    assert!(Body::Bytes(Vec::new()).into_pieces().next().is_none());
    let world = World::new();
    let root = world.write("empty", "").open();
    assert!(get(&root, "/empty").answer().body.into_pieces().next().is_none());
}

#[test]
fn the_pieces_of_a_file_say_where_they_are() {
    let world = World::new();
    let root = world.write("a.txt", vec![7; 5000]).open();
    let mut pieces = get(&root, "/a.txt").with("range", "bytes=1000-3999").answer().body.into_pieces();
    let place = |piece: Option<Piece<'_>>| match piece {
        Some(Piece::File { offset, len, .. }) => Some((offset, len)),
        other => panic!("{other:?}"),
    };
    assert_eq!(place(pieces.next()), Some((1000, 3000)));
    pieces.advance(1);
    assert_eq!(place(pieces.next()), Some((1001, 2999)));
    pieces.advance(2999);
    assert!(pieces.next().is_none());
}

#[test]
#[should_panic(expected = "more was sent than the piece had")]
fn more_than_there_is_cannot_be_sent() {
    let mut pieces = Body::Bytes(vec![1, 2, 3]).into_pieces();
    pieces.advance(4);
}

#[test]
fn a_file_that_grows_while_it_is_sent_is_sent_as_long_as_was_said() {
    let world = World::new();
    let root = world.write("a.txt", "12345").open();
    let answer = get(&root, "/a.txt").answer();
    world.write("a.txt", "1234567890");
    assert_eq!((answer.content_length, read(answer.body)), (Some(5), b"12345".to_vec()));
}

#[test]
fn who_sends_a_file_that_shrinks_is_told() {
    let world = World::new();
    let root = world.write("a.txt", "1234567890").open();
    let pieces = get(&root, "/a.txt").answer().body.into_pieces();
    world.write("a.txt", "123");
    let Some(Piece::File { file, .. }) = pieces.next() else { panic!("no file") };
    let mut buf = [0; 10];
    assert_eq!(file.read_blocking(0, &mut buf).unwrap(), 3);
    assert_eq!(file.read_blocking(3, &mut buf).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}
