package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// checkProof checks a tlog-proof whose extra opens its entry, or a consistency proof in the witness protocol's form.
func checkProof(path, text string, known keySet, kept map[string]tree) error {
	head, checkpoint, found := strings.Cut(text, "\n\n")
	if !found {
		return fmt.Errorf("it has no checkpoint")
	}
	signed, err := openCheckpoint([]byte(checkpoint), known)
	if err != nil {
		return err
	}
	lines := strings.Split(head, "\n")
	if strings.HasPrefix(lines[0], "old ") {
		return checkConsistency(path, lines, signed, kept)
	}
	return checkInclusion(path, lines, signed)
}

func checkInclusion(path string, lines []string, signed tree) error {
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return fmt.Errorf("it is not a tlog-proof that opens its entry")
	}
	opened, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil || index < 0 || index >= signed.size {
		return fmt.Errorf("it has no index in the tree")
	}
	hashes, err := parseHashes(lines[3:])
	if err != nil {
		return err
	}
	entry := sha256.Sum256(opened)
	if err := tlog.CheckRecord(hashes, signed.size, signed.root, index, tlog.RecordHash(entry[:])); err != nil {
		return err
	}
	report(path, nil, "entry %d of %s, of %d", index, signed.origin, signed.size)
	return nil
}

func checkConsistency(path string, lines []string, signed tree, kept map[string]tree) error {
	old, there := kept[signed.origin]
	if !there {
		return fmt.Errorf("no checkpoint of %s was kept (-kept)", signed.origin)
	}
	if lines[0] != fmt.Sprintf("old %d", old.size) {
		return fmt.Errorf("it starts from another size than what was kept")
	}
	hashes, err := parseHashes(lines[1:])
	if err != nil {
		return err
	}
	if old.size > 0 {
		if err := tlog.CheckTree(hashes, signed.size, signed.root, old.size, old.root); err != nil {
			return err
		}
	}
	report(path, nil, "%s of %d extends what was kept of %d", signed.origin, signed.size, old.size)
	return nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}
