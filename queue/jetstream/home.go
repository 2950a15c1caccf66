package jetstream

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// The server keeps its files in a folder of its own below the data folder. One that can't be stopped any more is left behind: its files
// move to another folder, where the next server finds them and the old one does not. At the next start they move back.
const (
	filesName = "jetstream" // the server's own name for its folder
	movedName = "moved-"    // and a number: the folder that filesName moved into
)

// moveFiles takes the server's files out of the reach of a server that can't be stopped. It returns the folder to give to the next one.
func moveFiles(dir, from string) (to string, err error) {
	for n := 1; ; n++ {
		to = filepath.Join(dir, movedName+strconv.Itoa(n))
		if err = os.Mkdir(to, 0o755); !os.IsExist(err) {
			break
		}
	}
	if err == nil {
		err = os.Rename(filepath.Join(from, filesName), filepath.Join(to, filesName))
	}
	if err != nil {
		return "", fmt.Errorf("move the queue's files out of reach of a server that can't be stopped: %w", err)
	}
	return to, nil
}

// homeFiles brings the server's files back to where they belong, before any server of this process runs.
func homeFiles(dir string) error {
	moved, err := filepath.Glob(filepath.Join(dir, movedName+"*"))
	if err != nil {
		return err
	}
	home := filepath.Join(dir, filesName)
	for _, from := range moved {
		files := filepath.Join(from, filesName)
		if _, err := os.Stat(files); err == nil {
			if _, err := os.Stat(home); err == nil {
				return fmt.Errorf("both %s and %s exist: the queue is in the one that changed last; move the other away", home, files)
			}
			if err := os.Rename(files, home); err != nil {
				return fmt.Errorf("move the queue's files back: %w", err)
			}
		}
		if err := os.RemoveAll(from); err != nil {
			return fmt.Errorf("remove what is left of an earlier server: %w", err)
		}
	}
	return nil
}
