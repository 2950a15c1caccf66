package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the process end when this one is killed and can't end it any more.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
}
