/** Help of tools that have none of their own, and what tsnat adds to all of them. */

export const SAVE_HELP = `Usage: tsnat iptables-save [-c] [-t TABLE] [-f FILE]

Prints the gateway's rules in the format that iptables-restore takes.

  -c, --counters      with the counters of each rule
  -t, --table TABLE   one table: raw, mangle, nat or filter
  -f, --file FILE     into a file

Examples:
  tsnat iptables-save -c > rules.v4              # what "tsnat up --rules rules.v4" begins with
  tsnat iptables-save -t nat                     # one table
`

export const RESTORE_HELP = `Usage: tsnat iptables-restore [-c] [-n] [-t] [-T TABLE] [FILE]

Replaces the rules of the tables that the file names, or standard input. All of it takes effect at once, or, with one bad line, nothing.

  -c, --counters      take the counters of the file
  -n, --noflush       add to what is there
  -t, --test          only look whether the file is right
  -T, --table TABLE   only this table of the file

Examples:
  tsnat iptables-restore -c < rules.v4           # with the counters of the file
  tsnat iptables-restore --test rules.v4         # is the file right?
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

Examples:
  tsnat ip rule add fwmark 100 table 100                     # what rules have marked goes by table 100,
  tsnat ip route add default via 203.0.113.77 table 100      # by this gateway
  tsnat ip route get 198.51.100.10 from 10.77.0.2 iif tun0   # which way would it go?
  tsnat ip -batch routes.batch                               # all lines of the file, or none
`

/** What tsnat adds to the help that the words of iptables and ipset have of their own. */
export const IPTABLES_EXAMPLES = `
Examples:
  tsnat iptables -A FORWARD -p tcp --dport 25 -j REJECT         # nobody sends mail
  tsnat iptables -nvL --line-numbers                            # with counters
  tsnat iptables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.77.0.2:80
  tsnat iptables -t nat -A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE
                                                                # from then on only what rules say is translated
`

export const IPSET_EXAMPLES = `
Examples:
  tsnat ipset create bad hash:net timeout 3600      # elements stay for an hour
  tsnat ipset add bad 198.51.100.0/24               # a rule asks for it: -m set --match-set bad dst
  tsnat ipset save > sets                           # what "tsnat up --ipset sets" begins with
`

export const INSTANCE_HELP = `
Which gateway: --name NAME or --socket PATH, before all other words; else TSNAT_NAME; else the one named "default".
`
