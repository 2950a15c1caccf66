package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
)

const (
	streamPrefix = "SLUICE_"     // and the partition's number
	deadStream   = "SLUICE_DEAD" // dead letters
	cursorName   = "analyzers"   // the one consumer of each partition
	maxPayload   = 8 << 20       // of a message; batches stay far below

	// ackWait is the server's own lease time. Ours are kept here, by the second; this one only brings back what should get lost
	// between server and client. A batch that is still leased is recognised when it comes again.
	ackWait = time.Minute

	// maxAckPending bounds what is leased or waits for a retry, in batches per partition.
	maxAckPending = 1 << 16

	// maxPull bounds what one pull asks for: what is asked for has to fit between server and client.
	maxPull = 32

	callTimeout  = 5 * time.Second  // of one call to the embedded server, an fsync included
	pullTimeout  = 20 * time.Second // of a pull, which has to be answered, or the server has to be replaced
	startTimeout = 60 * time.Second // of the server, reading its files included
	stopTimeout  = 10 * time.Second // of the server, before it is left behind
)

// embedded is one life of the server: started, connected to, with all streams and cursors in place. Publishing, leasing
// and administration have a connection each, so that none waits behind another's data.
type embedded struct {
	srv     *server.Server
	conns   []*nats.Conn
	publish js.JetStream
	streams []js.Stream // by partition
	dead    js.Stream
}

// pull asks a partition's cursor for up to k messages that are there now and hands each to use. Every message that the server
// has sent is handed over: an error means that some may be lost between here and there, so that the server must be
// replaced. (The library's own fetch gives up silently after a second, which a busy machine can take.)
func (e *embedded) pull(part, k int, use func(*nats.Msg)) (received int, err error) {
	conn := e.conns[1]
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer sub.Unsubscribe()
	subject := "$JS.API.CONSUMER.MSG.NEXT." + streamPrefix + strconv.Itoa(part) + "." + cursorName
	if err := conn.PublishRequest(subject, inbox, fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, k)); err != nil {
		return 0, err
	}
	for received < k {
		m, err := sub.NextMsg(pullTimeout)
		if err != nil {
			return received, err
		}
		if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
			if status == "100" { // a sign of life
				continue
			}
			return received, nil // 404 and 408: there is no more
		}
		received++
		use(m)
	}
	return received, nil
}

// remove deletes a message for good. Nil means that it is gone, now or before.
func (e *embedded) remove(part int, seq uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	err := e.streams[part].DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, lookup := e.streams[part].GetMsg(ctx, seq); errors.Is(lookup, js.ErrMsgNotFound) {
		return nil
	}
	return err
}

// removeBefore deletes all messages of a partition below a sequence.
func (e *embedded) removeBefore(part int, seq uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return e.streams[part].Purge(ctx, js.WithPurgeSequence(seq))
}

// state says what a partition holds.
func (e *embedded) state(ctx context.Context, part int) (js.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.streams[part].Info(ctx)
	if err != nil {
		return js.StreamState{}, err
	}
	return info.State, nil
}

// back tells the server to hand a message out again.
func (e *embedded) back(m *nats.Msg) error { return e.conns[1].Publish(m.Reply, []byte("-NAK")) }

// startEmbedded starts a server on the files in home, which is the data folder or one that they moved to.
func startEmbedded(ctx context.Context, o Options, home string) (*embedded, error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "sluice",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   home,
		SyncAlways: o.Durability == Disk,
		MaxPayload: maxPayload,
		// The streams carry their own limits; this one only has to be explicit and larger than all of them.
		JetStreamMaxStore:  1 << 50,
		JetStreamMaxMemory: 64 << 20,
		NoSystemAccount:    true,
	})
	if err != nil {
		return nil, fmt.Errorf("configure the queue server: %w", err)
	}
	e := &embedded{srv: srv}
	if err := e.begin(ctx, o); err != nil {
		e.stop(stopTimeout)
		return nil, err
	}
	return e, nil
}

// begin starts the server and connects to it.
func (e *embedded) begin(ctx context.Context, o Options) error {
	srv := e.srv
	srv.SetLoggerV2(serverLog{o.Logger}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) || !srv.JetStreamEnabled() {
		return fmt.Errorf("the queue server did not start on %s; its last words are in the log", o.Dir)
	}
	for range 3 {
		conn, err := nats.Connect("", nats.InProcessServer(srv), nats.NoReconnect(), nats.Name("sluice"),
			nats.SyncQueueLen(2*maxPull)) // the default is half a megabyte for each pull
		if err != nil {
			return fmt.Errorf("connect to the queue server: %w", err)
		}
		e.conns = append(e.conns, conn)
	}
	var err error
	if e.publish, err = js.New(e.conns[0]); err != nil {
		return err
	}
	return e.open(ctx, o)
}

// open makes the streams, or adapts them to the options, and puts new cursors on them.
func (e *embedded) open(ctx context.Context, o Options) error {
	lease, err := js.New(e.conns[1])
	if err != nil {
		return err
	}
	admin, err := js.New(e.conns[2])
	if err != nil {
		return err
	}
	n, err := partitions(ctx, admin, o.Partitions)
	if err != nil {
		return err
	}
	for p := range n {
		name := streamPrefix + strconv.Itoa(p)
		stream, err := admin.CreateOrUpdateStream(ctx, js.StreamConfig{
			Name:        name,
			Subjects:    []string{subjectOf(p, ">")},
			Retention:   js.WorkQueuePolicy,
			Discard:     js.DiscardNew,
			MaxBytes:    o.MaxBytes / int64(n),
			Storage:     js.FileStorage,
			AllowDirect: true,
			Duplicates:  2 * time.Minute,
		})
		if err != nil {
			return fmt.Errorf("open partition %d: %w", p, err)
		}
		_, err = lease.CreateOrUpdateConsumer(ctx, name, js.ConsumerConfig{
			Durable:       cursorName,
			AckPolicy:     js.AckExplicitPolicy,
			AckWait:       ackWait,
			MaxAckPending: maxAckPending,
			MaxDeliver:    -1,
			MaxWaiting:    4096,
			MemoryStorage: true,
		})
		if err != nil {
			return fmt.Errorf("open cursor of partition %d: %w", p, err)
		}
		e.streams = append(e.streams, stream)
	}
	e.dead, err = admin.CreateOrUpdateStream(ctx, js.StreamConfig{
		Name:        deadStream,
		Subjects:    []string{"sluice.dead.>"},
		Discard:     js.DiscardNew,
		MaxBytes:    o.MaxBytes,
		Storage:     js.FileStorage,
		AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("open dead letters: %w", err)
	}
	return nil
}

// partitions is how many there are: as many as wanted, or as an earlier start made, so that no batch is left behind when
// the setting shrinks.
func partitions(ctx context.Context, admin js.JetStream, want int) (int, error) {
	names := admin.StreamNames(ctx)
	for name := range names.Name() {
		if p, err := strconv.Atoi(strings.TrimPrefix(name, streamPrefix)); err == nil && p < maxParts {
			want = max(want, p+1)
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, js.ErrEndOfData) {
		return 0, fmt.Errorf("list partitions: %w", err)
	}
	return want, nil
}

// stop ends the server, after what it was asked to do before. It returns false where the server did not end in time: after some failed
// writes it waits for itself for ever.
func (e *embedded) stop(patience time.Duration) bool {
	for _, c := range e.conns {
		c.Close()
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}()
	select {
	case <-stopped:
		return true
	case <-time.After(patience):
		return false
	}
}

func subjectOf(part int, records string) string {
	return "sluice.queue." + strconv.Itoa(part) + "." + records
}

// recordsOf reads the number of records that a subject carries as its last token.
func recordsOf(subject string) int64 {
	n, _ := strconv.ParseInt(subject[strings.LastIndexByte(subject, '.')+1:], 10, 64)
	return n
}

// storedBytes is what the server's file store counts for a message: a record of 30 bytes with the subject, the headers as they go
// over the wire with their length, and the data. Headers that the server only adds when it is asked for a message are not stored.
func storedBytes(subject string, h nats.Header, data []byte) int64 {
	headers := len("NATS/1.0\r\n\r\n") + 4
	for name, values := range h {
		if strings.HasPrefix(name, "Nats-") && name != js.MsgIDHeader {
			continue
		}
		for _, v := range values {
			headers += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(30 + len(subject) + headers + len(data))
}

// census counts a stream's messages and the records in them.
func census(ctx context.Context, s js.Stream) (info *js.StreamInfo, records int64, err error) {
	info, err = s.Info(ctx, js.WithSubjectFilter(">"))
	if err != nil {
		return nil, 0, fmt.Errorf("count records: %w", err)
	}
	for subject, n := range info.State.Subjects {
		records += recordsOf(subject) * int64(n)
	}
	return info, records, nil
}

// serverLog passes on what the server has to complain about.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(string, ...any) {}
func (l serverLog) Debugf(string, ...any)  {}
func (l serverLog) Tracef(string, ...any)  {}
func (l serverLog) Warnf(format string, args ...any) {
	l.log.Warn("queue server", "message", fmt.Sprintf(format, args...))
}
func (l serverLog) Errorf(format string, args ...any) {
	l.log.Error("queue server", "message", fmt.Sprintf(format, args...))
}
func (l serverLog) Fatalf(format string, args ...any) { l.Errorf(format, args...) }
