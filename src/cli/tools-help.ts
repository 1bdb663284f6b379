/** Help of tools that have none of their own, and what tsnat adds to all of them. */

export const SAVE_HELP = `Usage: tsnat iptables-save [-c] [-t TABLE] [-f FILE]

Prints the gateway's rules in the format that iptables-restore takes.

  -c, --counters      with the counters of each rule
  -t, --table TABLE   one table: raw, mangle, nat or filter
  -f, --file FILE     into a file
`

export const RESTORE_HELP = `Usage: tsnat iptables-restore [-c] [-n] [-t] [-T TABLE] [FILE]

Replaces the rules of the tables that the file names, or standard input. All of it takes effect at once, or, with one bad line, nothing.

  -c, --counters      take the counters of the file
  -n, --noflush       add to what is there
  -t, --test          only look whether the file is right
  -T, --table TABLE   only this table of the file
`

export const IP_HELP = `Usage: tsnat ip [OPTIONS] rule | route COMMAND …
       tsnat ip [OPTIONS] address | link show …
       tsnat ip [-force] -batch FILE

  ip rule  add | del SELECTOR ACTION      ip rule show | flush
    SELECTOR: [not] [from PREFIX] [to PREFIX] [iif NAME] [oif NAME] [fwmark MARK[/MASK]] [tos TOS] [ipproto PROTOCOL]
              [sport PORT[-PORT]] [dport PORT[-PORT]] [pref NUMBER]
    ACTION:   lookup TABLE [suppress_prefixlength LENGTH] | goto NUMBER | nop | blackhole | unreachable | prohibit

  ip route add | replace | change | append | prepend | del | test [TYPE] PREFIX [via ADDRESS] [dev NAME] [table TABLE]
           [src ADDRESS] [metric NUMBER] [mtu [lock] BYTES] [tos TOS] [proto …] [scope …] [onlink]
           [nexthop via ADDRESS dev NAME weight NUMBER]…
  ip route show [table TABLE | all] …     ip route flush …
  ip route get ADDRESS [from ADDRESS iif NAME] [oif NAME] [mark MARK] [tos TOS] [ipproto PROTOCOL] [sport PORT] [dport PORT]
    TYPE: unicast, local, broadcast, blackhole, unreachable, prohibit, throw

  ip address show [dev NAME] [up] [scope SCOPE] [to PREFIX] [primary | secondary]     ip link show [dev NAME] [up]
    tsnat's own interfaces, as routing has them; they are changed in the kernel, by ip(8)

Options: -json -pretty -details -oneline -brief -Numeric -4
`

export const INSTANCE_HELP = `
Which gateway: --name NAME or --socket PATH, before all other words; else TSNAT_NAME; else the one named "default".
`
