/** What `tsnat iptables --help` says. */
import { MATCH_NAMES } from './matches/index.js'
import { TARGET_NAMES } from './targets/index.js'

const wrap = (words: readonly string[]): string => {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length > 100) lines.push(`  ${word}`)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.join('\n')
}

export const helpText = (): string => `Usage: tsnat iptables [-t table] COMMAND CHAIN [RULE]

Tables: raw, mangle, nat, filter (when -t is not given)

Commands:
  -A, --append CHAIN RULE            -D, --delete CHAIN RULE | CHAIN NUMBER
  -I, --insert CHAIN [NUMBER] RULE   -R, --replace CHAIN NUMBER RULE
  -C, --check CHAIN RULE             -L, --list [CHAIN [NUMBER]]
  -S, --list-rules [CHAIN [NUMBER]]  -F, --flush [CHAIN]
  -Z, --zero [CHAIN [NUMBER]]        -N, --new-chain CHAIN
  -X, --delete-chain [CHAIN]         -E, --rename-chain OLD NEW
  -P, --policy CHAIN ACCEPT|DROP

Rules ("!" before a test inverts it):
  -p, --protocol PROTOCOL            -s, --source ADDRESS[/MASK][,…]
  -i, --in-interface NAME[+]         -d, --destination ADDRESS[/MASK][,…]
  -o, --out-interface NAME[+]        -f, --fragments
  -m, --match MATCH                  -c, --set-counters PACKETS BYTES
  -j, --jump TARGET | CHAIN          -g, --goto CHAIN

Listing: -n (numbers) -v (counters, interfaces) -x (exact counters) --line-numbers

Matches:
${wrap(MATCH_NAMES)}
Targets:
${wrap(TARGET_NAMES)}
`
