package access

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Rights that nobody else should have to a file with a secret: those of the group and of all others. A private key may be for a group,
// as is usual where a program renews certificates for several.
const (
	othersTokens fs.FileMode = 0o066
	othersKey    fs.FileMode = 0o006
)

// ExposedTokens says whether users other than its owner can read or change a file of tokens.
func ExposedTokens(path string) (mode fs.FileMode, exposed bool) {
	return exposedTo(path, othersTokens)
}

// ExposedKey says whether users other than its owner and its group can read or change a private key.
func ExposedKey(path string) (mode fs.FileMode, exposed bool) { return exposedTo(path, othersKey) }

// exposedTo says whether a file gives some of the rights. A credential of systemd does not, whatever its mode says: what looks like the
// right of a group is that of the service's own user.
func exposedTo(path string, rights fs.FileMode) (mode fs.FileMode, exposed bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		return info.Mode().Perm(), false
	}
	return info.Mode().Perm(), info.Mode().Perm()&rights != 0
}

func warnExposed(log *slog.Logger, what, path string, rights fs.FileMode) {
	if mode, exposed := exposedTo(path, rights); exposed {
		log.Warn("other users can read or change a secret", "what", what, "file", path, "mode", mode.String(), "do", "chmod 600 "+path)
	}
}
