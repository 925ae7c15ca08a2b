// Command outside verifies Lethe's event logs with code that Lethe's authors did not write: golang.org/x/mod's sumdb/note
// (signed notes) and sumdb/tlog (Merkle trees, tiles, proofs), as Debian packages them.
//
//	outside [-keys DIR] [-kept FILE] [FOLDER] [PROOF.tlog-proof | PROOF.consistency]...
//
// FOLDER is a stack's home (tiles/<service>/, verifiers/) or an export (<service>/, verifiers/). For each log: the checkpoint's
// signature; the root recomputed from all entry bundles; each tile of each level against what the entries give; each leaf through
// tlog's authenticating tile reader; consistency with the checkpoint that was kept; in an export also each event against its entry.
// Ends with 1 where anything does not hold, 2 where it was called wrongly.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var failed bool

func report(what string, err error, format string, details ...any) {
	if err != nil {
		failed = true
		fmt.Printf("FAILED  %s: %v\n", what, err)
		return
	}
	fmt.Printf("ok      %s: %s\n", what, fmt.Sprintf(format, details...))
}

func usage(text string) {
	fmt.Fprintln(os.Stderr, "outside:", text)
	os.Exit(2)
}

func main() {
	keys := flag.String("keys", "", "folder with *.vkey (default: verifiers/ of FOLDER)")
	keptPath := flag.String("kept", "", "a checkpoint that was kept, or what `lethe audit checkpoint` wrote")
	flag.Parse()
	folder, proofs := "", []string{}
	for _, path := range flag.Args() {
		info, err := os.Stat(path)
		if err != nil {
			usage(err.Error())
		}
		if info.IsDir() {
			folder = path
		} else {
			proofs = append(proofs, path)
		}
	}
	if folder == "" && len(proofs) == 0 || folder == "" && *keys == "" {
		usage("name a FOLDER with logs, or -keys and proofs")
	}
	if *keys == "" {
		*keys = filepath.Join(folder, "verifiers")
	}
	known, err := readKeys(*keys)
	if err != nil {
		usage(err.Error())
	}
	kept := map[string]tree{}
	if *keptPath != "" {
		if kept, err = readKept(*keptPath, known); err != nil {
			report("kept checkpoints", err, "")
		}
	}
	if folder != "" {
		verifyLogs(folder, known, kept)
	}
	for _, path := range proofs {
		text, err := os.ReadFile(path)
		if err == nil {
			err = checkProof(path, string(text), known, kept)
		}
		if err != nil {
			report(path, err, "")
		}
	}
	if failed {
		os.Exit(1)
	}
}

func verifyLogs(folder string, known keySet, kept map[string]tree) {
	tiles := folder
	if info, err := os.Stat(filepath.Join(folder, "tiles")); err == nil && info.IsDir() {
		tiles = filepath.Join(folder, "tiles")
	}
	notes, _ := filepath.Glob(filepath.Join(tiles, "*", "checkpoint"))
	if len(notes) == 0 {
		usage("there is no log in " + folder)
	}
	seen := map[string]bool{}
	for _, note := range notes {
		if origin := verifyLog(filepath.Dir(note), known, kept); origin != "" {
			if seen[origin] {
				report(origin, fmt.Errorf("there are two logs of this name"), "")
			}
			seen[origin] = true
		}
	}
	for origin := range kept {
		if !seen[origin] {
			report(origin, fmt.Errorf("a checkpoint of it was kept, and the log is not there"), "")
		}
	}
}

func verifyLog(folder string, known keySet, kept map[string]tree) string {
	name := filepath.Base(folder)
	note, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		report(name, err, "")
		return ""
	}
	signed, err := openCheckpoint(note, known)
	if err != nil {
		report(name, err, "")
		return ""
	}
	if service := signed.origin[strings.LastIndex(signed.origin, "/")+1:]; service != name {
		report(name, fmt.Errorf("the checkpoint is of another log: %s", signed.origin), "")
		return ""
	}
	report(signed.origin, nil, "checkpoint signed by a known key, size %d, root %x", signed.size, signed.root[:8])
	log := &log{folder: folder, signed: signed}
	report(signed.origin, log.recompute(), "root recomputed from %d entries; %d tiles are what the entries give", signed.size, log.tiles)
	report(signed.origin, log.authenticate(), "each of %d leaves is in the signed tree", signed.size)
	if old, there := kept[signed.origin]; there {
		report(signed.origin, log.extends(old), "extends the kept checkpoint of size %d", old.size)
	}
	if _, err := os.Stat(filepath.Join(folder, "events.jsonl")); err == nil {
		err := log.openEvents()
		report(signed.origin, err, "%d events open their entries", log.events)
	}
	return signed.origin
}
