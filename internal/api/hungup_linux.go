package api

import (
	"encoding/binary"
	"syscall"
)

// The states of a connection in tcp_info of Linux, include/net/tcp_states.h.
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// peekAt asks for the state of a socket. Reading would not tell the two ends apart: the first who reads takes the error of a reset away.
func peekAt(fd uintptr) connState {
	info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	var b [4]byte // tcp_info as far as it fits into the int; its first byte is the state
	binary.NativeEndian.PutUint32(b[:], uint32(info))
	switch state := b[0]; {
	case err != nil:
		return connOpen
	case state == tcpClose:
		return connReset
	case state == tcpCloseWait:
		return connClosed
	}
	return connOpen
}

// tcpNotSentLowat is TCP_NOTSENT_LOWAT of include/uapi/linux/tcp.h: the bytes that wait to be sent beyond which a write waits. What is on its
// way does not count, so it slows nobody down.
const tcpNotSentLowat = 25

func holdLittleAt(fd uintptr) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, 16<<10) // without it, more is held
}
