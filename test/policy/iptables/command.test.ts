import { describe, expect, it } from 'vitest'
import { ExitCode } from '../../../src/errors.js'
import { emptyRuleset, runIptables, saveRuleset } from '../../../src/policy/iptables/index.js'
import { chainOf, errorOf, outputOf, rulesetOf, specOf, words } from './support.js'

const rulesOf = (...commands: string[]): string => outputOf(rulesetOf(...commands), '-S').replace(/^-[PN].*\n/gm, '').trimEnd()
const error = (command: string, ...before: string[]) => errorOf(() => runIptables(rulesetOf(...before), words(command)))

describe('words of a command', () => {
  it('takes letters together, values attached to them, long names shortened, and values behind "="', () => {
    const expected = '-A INPUT -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT'
    for (const command of [
      '-A INPUT -p tcp -s 10.0.0.1 -i eth0 --dport 80 -j ACCEPT',
      '-AINPUT -ptcp -s10.0.0.1 -ieth0 --dport=80 -jACCEPT',
      '--append INPUT --protocol tcp --source 10.0.0.1 --in-interface eth0 --destination-port 80 --jump ACCEPT',
      '--app INPUT --proto TCP --src 10.0.0.1 --in-int eth0 --destination-p 80 --jump ACCEPT',
      '-p 6 -i eth0 -s 10.0.0.1/255.255.255.255 -A INPUT --dport http -j ACCEPT -w -W 100',
      '-4 -w 5 -v -A INPUT -p tcp --dport 80 -j ACCEPT -i eth0 -s 10.0.0.1',
    ]) expect(rulesOf(command)).toBe(expected)
  })

  it('takes "!" before an option, and behind it as old scripts have it', () => {
    const expected = '-A FORWARD ! -s 10.0.0.0/8 ! -i eth0 ! -p tcp -j DROP'
    expect(rulesOf('-A FORWARD ! -s 10.0.0.0/8 ! -i eth0 ! -p tcp -j DROP')).toBe(expected)
    expect(rulesOf('-A FORWARD -s ! 10.0.0.0/8 -i ! eth0 -p ! tcp -j DROP')).toBe(expected)
    expect(specOf('-p tcp --dport ! 80').matches).toEqual(specOf('-p tcp ! --dport 80').matches)
  })

  it('takes "--dport" with a list after -m multiport for --dports, as iptables does', () => {
    expect(rulesOf('-A INPUT -p tcp -m multiport --dport 80,443 -j ACCEPT')).toBe('-A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT')
  })

  it('gives an option to the match that was named last', () => {
    expect(rulesOf('-A INPUT -m mark --mark 1 -m connmark --mark 2')).toBe('-A INPUT -m mark --mark 0x1 -m connmark --mark 0x2')
  })

  it('refuses -6, and takes -4', () => {
    expect(error('-6 -A INPUT -j ACCEPT')).toMatchObject({ code: 'POLICY_REFUSED', message: expect.stringContaining('IPv4') as string })
  })

  it('says its version in the form that programs look for', () => {
    expect(runIptables(emptyRuleset(), ['--version']).output).toMatch(/^iptables v\d+\.\d+\.\d+ /)
  })

  it('refuses a line break in a comment: rules are saved one a line', () => {
    expect(errorOf(() => runIptables(emptyRuleset(), ['-A', 'INPUT', '-m', 'comment', '--comment', 'a\nb'])).message).toBe('--comment: the comment has a line break')
  })

  it('names all matches and targets in its help', () => {
    const { output } = runIptables(emptyRuleset(), ['-h'])
    for (const word of ['hashlimit', 'conntrack', 'MASQUERADE', 'TPROXY']) expect(output).toContain(word)
    expect(Math.max(...output.split('\n').map((line) => line.length))).toBeLessThan(110)
  })
})

describe('wrong words', () => {
  it.each([
    ['-A INPUT -p tcp --dprot 80', 'unknown option "--dprot"', 'did you mean "--dport"?'],
    ['-A INPUT --dport 80', 'unknown option "--dport"', 'it needs -p tcp or -p udp before it'],
    ['-A INPUT -m conntrak --ctstate NEW', '-m: unknown match "conntrak"', 'did you mean "conntrack"?'],
    ['-A INPUT -j ACEPT', '-j: unknown target or chain "ACEPT"', 'did you mean "ACCEPT"?'],
    ['-A INPUT -j webb', '-j: unknown target or chain "webb"', 'did you mean "web"?'],
    ['-A INPTU -j ACCEPT', '-A: unknown chain of table filter "INPTU"', 'did you mean "INPUT"?'],
    ['-t nta -L', '-t: unknown table "nta"', 'did you mean "nat"?'],
    ['-A INPUT -p tpc', '-p: unknown protocol "tpc"', 'did you mean "tcp"?'],
    ['-A INPUT -m conntrack --ctstate ESTABLISED', '--ctstate: unknown state "ESTABLISED"', 'did you mean "ESTABLISHED"?'],
    ['-A INPUT -p icmp --icmp-type echo-requst', '--icmp-type: unknown ICMP type "echo-requst"', 'did you mean "echo-request"?'],
    ['-A INPUT -p tcp --dport htpp', '--dport: unknown port or service "htpp"', 'did you mean "http"?'],
    ['-A INPUT -s 2001:db8::1', '-s: "2001:db8::1" is an IPv6 address', 'rules are for IPv4'],
    ['-A INPUT -s example.org', '-s: "example.org" is no IPv4 address', 'four numbers with dots; names of hosts are not resolved'],
    ['-A INPUT -m owner --uid-owner 0', 'match "owner" is not taken: the gateway sees packets, not the programs and sockets of other machines', 'say it in another way, or leave it out'],
    ['-A INPUT -m mac --mac-source 00:11:22:33:44:55', 'match "mac" is not taken: packets of a TUN device have no link layer', 'say it in another way, or leave it out'],
    ['-A INPUT -m string --string x --algo bm', 'match "string" is not taken: looking through payload for text is slow and easily evaded', 'say it in another way, or leave it out'],
    ['-t raw -A PREROUTING -j CT --zone 1', 'CT: "--zone" is not taken: tsnat has one table of flows, without zones', 'say it in another way, or leave it out'],
    ['-A INPUT -j MARK --set 1', '"--set" is short for several options', '--set-xmark, --set-mark, --set-counters'],
    ['-t nat -A POSTROUTING -p tcp -j SNAT --to 1.2.3.4:1:2', '--to-source: "1.2.3.4:1:2" is no address with ports', 'ADDRESS[-ADDRESS][:PORT[-PORT]], IPv4 only'],
    ['-t nat -A POSTROUTING -p tcp -j SNAT --to 1.2.3.4:1-2/3', '--to-source: "1.2.3.4:1-2/3" has a base port', 'only DNAT takes PORT-PORT/BASE'],
    ['-t nat -A PREROUTING -p tcp -j DNAT --to 1.2.3.4:1/3', '--to-destination: "1.2.3.4:1/3" has a base port without a range', 'PORT-PORT/BASE'],
    ['-t nat -A POSTROUTING -j NETMAP --to 10.0.0.0/255.0.255.0', '--to: the mask of "10.0.0.0/255.0.255.0" has holes', 'NETMAP needs a prefix: ADDRESS/LENGTH'],
    ['-A INPUT -j SET --del-set a src --exist', '"--exist" goes with "--add-set"', 'see "tsnat iptables --help"'],
    ['-A INPUT -m set --match-set a src,dst,src,dst,src,dst,src', '--match-set: 7 directions are too many', 'at most 6'],
    ['-A INPUT -m connlimit --connlimit-above 1 --connlimit-saddr --connlimit-daddr', '"--connlimit-saddr" and "--connlimit-daddr" exclude each other', 'see "tsnat iptables --help"'],
    ['-A INPUT -m hashlimit --hashlimit-upto 1/s --hashlimit-name x --hashlimit-rate-interval 2', '"--hashlimit-rate-interval" needs "--hashlimit-rate-match"', 'see "tsnat iptables --help"'],
    ['-A INPUT -p tcp --syn --tcp-flags ALL SYN', '"--syn" and "--tcp-flags" exclude each other', 'see "tsnat iptables --help"'],
    ['-A INPUT -m time --datestart 2024-02-30', '--datestart: "2024-02-30" is no date', 'YYYY-MM-DDThh:mm:ss, from 1970 to 2038-01-19T03:14:07'],
    ['-A INPUT -j CONNMARK --save-mark --mask 1 --nfmask 1', '"--mask" and "--nfmask" exclude each other', 'see "tsnat iptables --help"'],
    ['-A INPUT -m conntrack --ctproto 0', '--ctproto: no flow has protocol 0', 'see "tsnat iptables --help"'],
    ['-A INPUT ! -i +', '-i: "! +" is no interface at all', 'see "tsnat iptables --help"'],
    ['-A INPUT -i a/b', '-i: the name of the interface "a/b" has a character that names do not have', 'no blanks, quotes, "/" or "\\"'],
    ['-A INPUT -j LOG --log-prefix 012345678901234567890123456789', '--log-prefix: the prefix is 30 bytes long', 'at most 29 bytes'],
    ['-A INPUT ! ! -p tcp', 'two "!" in a row', 'see "tsnat iptables --help"'],
    ['-A INPUT -i +x y', '"y" stands where an option is expected', 'options begin with "-"'],
    ['-A INPUT -L', '"-A" and "-L" exclude each other', 'see "tsnat iptables --help"'],
    ['-L -s 1.2.3.4', '"-s" does not go with "-L"', 'see "tsnat iptables --help"'],
    ['-D INPUT 1 -j ACCEPT', '"-j" does not go with "-D"', 'see "tsnat iptables --help"'],
    ['', 'no command is given', 'one of -A -I -R -D -C -L -S -F -Z -N -X -E -P'],
    ['-A INPUT -- -j', 'unknown option "--"', 'see "tsnat iptables --help"'],
    ['-A INPUT --append=OUTPUT', '"--append=OUTPUT" stands twice', 'a rule has one of it'],
  ])('%s', (command, message, hint) => {
    const before = ['-N web']
    expect(error(command, ...before)).toMatchObject({ message, hint })
  })
})

describe('commands', () => {
  it('inserts a list of addresses in reverse, as each is put in the same place', () => {
    expect(rulesOf('-A INPUT -j DROP', '-I INPUT -s 1.1.1.1,2.2.2.2 -j ACCEPT').split('\n')).toEqual([
      '-A INPUT -s 2.2.2.2/32 -j ACCEPT', '-A INPUT -s 1.1.1.1/32 -j ACCEPT', '-A INPUT -j DROP',
    ])
  })

  it('makes a rule for each pair of addresses of two lists, and deletes them the same way', () => {
    const list = '-s 1.1.1.1,2.2.2.2 -d 3.3.3.3,4.4.4.0/24 -j ACCEPT'
    expect(rulesOf(`-A INPUT ${list}`).split('\n')).toHaveLength(4)
    expect(rulesOf(`-A INPUT ${list}`, `-D INPUT ${list}`)).toBe('')
    expect(error(`-R INPUT 1 ${list}`, '-A INPUT').hint).toBe('one address each for -s and -d')
  })

  it('inserts behind the last rule, and nowhere beyond', () => {
    expect(rulesOf('-A INPUT -j DROP', '-I INPUT 2 -j ACCEPT')).toBe('-A INPUT -j DROP\n-A INPUT -j ACCEPT')
    expect(error('-I INPUT 3 -j ACCEPT', '-A INPUT -j DROP')).toMatchObject({ message: '-I: chain INPUT has no rule 3', hint: 'its numbers go up to 2' })
  })

  it('deletes the first of two rules that are the same, however it was written', () => {
    expect(rulesOf('-A INPUT -p tcp --syn -j DROP -c 1 2', '-A INPUT -p tcp -m tcp --syn -j DROP',
      '-D INPUT -p 6 --tcp-flags SYN,RST,ACK,FIN SYN -j DROP')).toBe('-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP')
  })

  it('checks for a rule by exit code 1, and changes nothing', () => {
    const ruleset = rulesetOf('-A INPUT -s 1.1.1.1,2.2.2.2 -j DROP')
    expect(runIptables(ruleset, words('-C INPUT -s 2.2.2.2,1.1.1.1 -j DROP')).ruleset).toBe(ruleset)
    const missing = errorOf(() => runIptables(ruleset, words('-C INPUT -s 3.3.3.3 -j DROP')))
    expect(missing).toMatchObject({ code: 'POLICY_INVALID', exitCode: ExitCode.failure, message: '-C: chain INPUT of table filter has no such rule' })
  })

  it.each([
    ['-X busy', '-X: chain busy is in use', 'one rule leads to it'],
    ['-X full', '-X: chain full is not empty', 'flush it first: -F full'],
    ['-X', 'chain busy is in use', 'one rule leads to it'],
    ['-X INPUT', '-X: chain INPUT is built in', 'it cannot be deleted'],
    ['-E INPUT other', '-E: chain INPUT is built in', 'it keeps its name'],
    ['-E busy full', '-E: chain full exists already in table filter', 'nothing was changed'],
    ['-N full', '-N: chain full exists already in table filter', 'nothing was changed'],
    ['-N INPUT', '-N: chain INPUT exists already in table filter', 'nothing was changed'],
    ['-N DROP', '-N: "DROP" is the name of a target', 'a chain needs a name of its own'],
    ['-N abcdefghijklmnopqrstuvwxyzabc', '-N: the name of the chain "abcdefghijklmnopqrstuvwxyzabc" is too long', 'at most 28 bytes'],
    ['-N -x', '-N: the name of the chain "-x" must not begin with "-"', 'see "tsnat iptables --help"'],
    ['-P full DROP', '-P: chain full is not built in', 'only built-in chains have a policy'],
    ['-P INPUT REJECT', '-P: unknown policy "REJECT"', 'one of: ACCEPT, DROP'],
    ['-t nat -P PREROUTING DROP', '-P: table nat sees the first packet of a flow only', 'DROP belongs into table filter'],
    ['-A INPUT -j OUTPUT', '-j: rules cannot jump to OUTPUT', 'only to chains made with -N'],
    ['-A INPUT -g DROP', '-g: unknown chain "DROP"', 'one of: INPUT, FORWARD, OUTPUT, busy, full'],
    ['-D INPUT 9', '-D: chain INPUT has no rule 9', 'its numbers go up to 1'],
    ['-F nowhere', '-F: unknown chain of table filter "nowhere"', 'one of: INPUT, FORWARD, OUTPUT, busy, full'],
  ])('refuses %s', (command, message, hint) => {
    expect(error(command, '-N busy', '-N full', '-A full -j DROP', '-A INPUT -j busy')).toMatchObject({ message, hint })
  })

  it('follows a chain that is renamed wherever rules lead to it', () => {
    expect(rulesOf('-N a', '-N b', '-A INPUT -j a', '-A b -g a', '-A a -j DROP', '-E a z')).toBe('-A INPUT -j z\n-A b -g z\n-A z -j DROP')
  })

  it('deletes all user chains when none is in use', () => {
    expect(outputOf(rulesetOf('-N a', '-N b', '-X'), '-S')).not.toContain('-N')
  })

  it('leaves the other tables, and the chains without a change, the very same objects', () => {
    const before = rulesetOf('-t nat -A POSTROUTING -j MASQUERADE', '-A INPUT -j DROP', '-A OUTPUT -j DROP')
    const after = runIptables(before, words('-A INPUT -j ACCEPT')).ruleset
    expect(after.tables.nat).toBe(before.tables.nat)
    expect(chainOf(after, 'filter', 'OUTPUT')).toBe(chainOf(before, 'filter', 'OUTPUT'))
    expect(chainOf(after, 'filter', 'INPUT').rules[0]).toBe(chainOf(before, 'filter', 'INPUT').rules[0])
    expect(runIptables(before, ['-L']).ruleset).toBe(before)
    expect(saveRuleset(before)).not.toContain('ACCEPT\n-A')
  })

  it('gives counters a new id when they begin anew, and keeps it otherwise', () => {
    const before = rulesetOf('-A INPUT -j DROP -c 5 500', '-A INPUT -j ACCEPT -c 6 600')
    const ids = (ruleset: typeof before) => chainOf(ruleset, 'filter', 'INPUT').rules.map(({ id }) => id)
    const [first, second] = ids(before)
    expect(ids(runIptables(before, words('-I INPUT 2 -j RETURN')).ruleset)).toEqual([first, expect.any(Number), second])
    const zeroed = runIptables(before, words('-Z INPUT 1')).ruleset
    expect(ids(zeroed)[0]).not.toBe(first)
    expect(ids(zeroed)[1]).toBe(second)
    expect(chainOf(zeroed, 'filter', 'INPUT').rules.map(({ packets, bytes }) => [packets, bytes])).toEqual([[0, 0], [6, 600]])
    const all = [before, zeroed].flatMap((ruleset) => Object.values(ruleset.tables).flatMap(({ chains }) => chains.map(({ id }) => id)))
    expect(all.every((id) => id < before.nextId)).toBe(true)
  })
})
