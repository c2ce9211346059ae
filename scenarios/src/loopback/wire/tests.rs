use tokio::task::JoinSet;

use super::*;

/// An endpoint that says everything back, and a wire to it.
async fn echo() -> (Wire, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut each = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            each.spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let wire = Wire::lay("127.0.0.1:0".parse().unwrap(), to).await.unwrap();
    (wire, tasks)
}

async fn ask(stream: &mut TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_whole_wire_carries_every_byte_and_the_end() {
    let (wire, _echo) = echo().await;
    let stream = TcpStream::connect(wire.address()).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = stream.into_split();
    let (sending, mut got) = (sent.clone(), Vec::new());
    let writer = tokio::spawn(async move {
        to.write_all(&sending).await.unwrap();
        to.shutdown().await.unwrap();
    });
    from.read_to_end(&mut got).await.unwrap();
    writer.await.unwrap();
    assert!(got == sent, "{} bytes came back", got.len());
    assert_eq!(wire.carried(), (1, 6_000_000));
    wire.remove().await;
}

#[tokio::test]
async fn a_slow_wire_delays_both_ways_and_does_not_wait_for_each_chunk() {
    let (wire, _echo) = echo().await;
    let delay = Duration::from_millis(50);
    wire.set(Weather {
        delay,
        ..Weather::default()
    });
    let mut stream = TcpStream::connect(wire.address()).await.unwrap();
    let begin = Instant::now();
    ask(&mut stream, b"question").await.unwrap();
    assert!(begin.elapsed() >= 2 * delay);
    // Eight chunks, one after another, would take eight times as long.
    let begin = Instant::now();
    let question = vec![7; 8 * CHUNK];
    ask(&mut stream, &question).await.unwrap();
    assert!(begin.elapsed() >= 2 * delay);
    assert!(begin.elapsed() < 12 * delay, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_silent_wire_swallows_and_delivers_when_it_is_mended() {
    let (wire, _echo) = echo().await;
    let mut old = TcpStream::connect(wire.address()).await.unwrap();
    ask(&mut old, b"before").await.unwrap();
    wire.set(Weather {
        state: State::Silent,
        ..Weather::default()
    });
    let mut new = TcpStream::connect(wire.address()).await.unwrap();
    for stream in [&mut old, &mut new] {
        stream.write_all(b"within").await.unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    wire.set(Weather::default());
    for stream in [&mut old, &mut new] {
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"within");
    }
}

#[tokio::test]
async fn a_cut_wire_resets_what_is_open_and_refuses_what_is_new() {
    let (wire, _echo) = echo().await;
    let mut old = TcpStream::connect(wire.address()).await.unwrap();
    ask(&mut old, b"before").await.unwrap();
    wire.set(Weather {
        state: State::Cut,
        ..Weather::default()
    });
    let end = old.read_u8().await.unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    while TcpStream::connect(wire.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    wire.set(Weather::default());
    let mut new = loop {
        if let Ok(stream) = TcpStream::connect(wire.address()).await {
            break stream;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(ask(&mut new, b"after").await.unwrap(), b"after");
}
