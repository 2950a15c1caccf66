// Package disk is the durable queue of one machine.
package disk
