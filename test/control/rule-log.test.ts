import { readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runIptables } from '../../src/policy/iptables/index.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, P } from '../stack/support.js'
import { LogBed, temporaryDirectory } from './rule-log-bed.js'

const ENDS = { source: A, destination: P, sourcePort: 40000, destinationPort: 53 }
const packet = buildUdp({ ...ENDS, payload: new Uint8Array(972) })
const HEAD = `SRC=${A} DST=${P} LEN=1000 TOS=0x00 PREC=0x00 TTL=64 ID=0 PROTO=UDP SPT=40000 DPT=53 LEN=980`

describe('the log of rules', () => {
  it('writes a line as the kernel does, and the same as fields', async () => {
    const bed = new LogBed('-A FORWARD -j MARK --set-mark 0x2a\n-A FORWARD -p udp -j LOG --log-prefix "out: "')
    bed.pass(packet)
    bed.writer.drain()
    expect(bed.lines).toEqual([{
      level: 40,
      packet: {
        at: '2026-11-20T00:00:01.000Z', target: 'LOG', table: 'filter', chain: 'FORWARD', rule: 2, hook: 'FORWARD', prefix: 'out: ', IN: 'tun0', OUT: 'eth0',
        SRC: A, DST: P, LEN: 1000, TOS: 0, PREC: 0, TTL: 64, ID: 0, PROTO: 'UDP', SPT: 40000, DPT: 53, UDPLEN: 980, MARK: 42,
      },
      msg: `out: IN=tun0 OUT=eth0 MAC= ${HEAD} MARK=0x2a`,
    }])
    expect(bed.writer).toMatchObject({ lines: 1, packets: 0, lost: 0 })
    await bed.writer.stop()
  })

  it('knows what a packet of this host has no interface for, and which options a rule asks for', () => {
    const bed = new LogBed('-A OUTPUT -j LOG --log-tcp-sequence\n-A INPUT -j LOG')
    bed.pass(buildTcp(ENDS), 'OUTPUT')
    bed.pass(buildIcmpEcho({ ...ENDS, identifier: 1 }), 'INPUT')
    bed.writer.drain()
    expect(bed.lines.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(/^IN= OUT=eth0 SRC=.* SPT=40000 DPT=53 SEQ=0 ACK=0 WINDOW=65535 RES=0x00 ACK URGP=0$/),
      expect.stringMatching(/^IN=tun0 OUT= MAC= SRC=.* PROTO=ICMP TYPE=8 CODE=0 ID=1 SEQ=0$/),
    ])
  })

  it('has a level for each of the kernel\'s, and leaves out what the log does not show', () => {
    const levels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
    const rules = levels.map((level) => `-A FORWARD -j LOG --log-level ${level}`).join('\n')
    const all = new LogBed(rules)
    all.pass(packet)
    all.writer.drain()
    expect(all.lines.map(({ level }) => level)).toEqual([60, 60, 60, 50, 40, 30, 30, 20])
    const some = new LogBed(rules, { level: 'warn' })
    some.pass(packet)
    some.writer.drain()
    expect(some.lines.map(({ level }) => level)).toEqual([60, 60, 60, 50, 40])
    expect(some.writer.lines).toBe(5)
  })

  it('writes NFLOG as lines where there is no directory', () => {
    const bed = new LogBed('-A FORWARD -j NFLOG --nflog-group 5 --nflog-prefix "seen: " --nflog-size 10')
    bed.pass(packet)
    bed.writer.drain()
    expect(bed.lines).toMatchObject([{ level: 30, packet: { target: 'NFLOG', group: 5, prefix: 'seen: ', SPT: 40000 }, msg: `seen: IN=tun0 OUT=eth0 MAC= ${HEAD}` }])
  })

  it('writes at most 200 lines a turn, keeps the others, and tells of those that are lost', async () => {
    const bed = new LogBed('-A FORWARD -j LOG')
    for (let count = 0; count < 2000; count++) bed.pass(packet)
    bed.writer.drain()
    expect(bed.writer.lines).toBe(200)
    const { lost } = bed.writer
    expect(lost).toBeGreaterThan(800)
    expect(bed.lines.at(-1)).toMatchObject({ level: 40, lost, msg: 'packets that rules logged were lost' })
    await bed.writer.stop()
    expect(bed.writer).toMatchObject({ lines: 2000 - lost, lost })
  })

  it('looks seldom while no rule logs', () => {
    const bed = new LogBed('-A FORWARD -j ACCEPT')
    expect(bed.writer.drain()).toBe(250)
    bed.rules.swap(runIptables(bed.rules.ruleset, ['-A', 'FORWARD', '-j', 'LOG']).ruleset)
    expect(bed.writer.drain()).toBe(20)
  })

  it('writes what a rule logged before it was deleted, and counts what nobody knows as lost', () => {
    const bed = new LogBed('-A FORWARD -j LOG')
    bed.writer.drain()
    bed.pass(packet)
    bed.rules.ruleset = runIptables(bed.rules.ruleset, ['-F']).ruleset
    bed.writer.drain()
    expect(bed.writer).toMatchObject({ lines: 1, lost: 0 })

    const late = new LogBed('-A FORWARD -j LOG')
    late.pass(packet)
    late.rules.ruleset = runIptables(late.rules.ruleset, ['-F']).ruleset
    late.writer.drain()
    expect(late.writer).toMatchObject({ lines: 0, lost: 1 })
  })
})

describe('capture files of NFLOG', () => {
  const RULE = '-A FORWARD -j NFLOG --nflog-group 5'

  it('are one for each group, readable by root alone', async () => {
    const directory = join(temporaryDirectory(), 'a', 'b')
    const bed = new LogBed(`${RULE}\n-A FORWARD -j NFLOG`, { directory })
    bed.pass(packet)
    bed.writer.drain()
    await bed.writer.stop()
    expect(readdirSync(directory).sort()).toEqual(['lab-nflog-0.pcapng', 'lab-nflog-5.pcapng'])
    expect(statSync(join(directory, 'lab-nflog-5.pcapng')).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(directory, 'lab-nflog-5.pcapng')).includes(Buffer.from(packet))).toBe(true)
    expect(bed.writer).toMatchObject({ lines: 0, packets: 2, lost: 0 })
  })

  it('are rotated by size and at the start, and the oldest deleted', async () => {
    const directory = temporaryDirectory()
    const path = (age: string): string => join(directory, `lab-nflog-5${age}.pcapng`)
    writeFileSync(path(''), 'of before')
    const bed = new LogBed(RULE, { directory, fileBytes: 65_536 })
    const send = (count: number): void => {
      for (let each = 0; each < count; each++) {
        bed.pass(packet)
        bed.writer.drain()
      }
    }
    send(1)
    expect(readFileSync(path('.1'), 'utf8')).toBe('of before')
    send(99)
    expect(readFileSync(path('.2'), 'utf8')).toBe('of before')
    send(100)
    await bed.writer.stop()
    expect(bed.writer.packets).toBe(200)
    expect(readdirSync(directory).sort()).toEqual(['lab-nflog-5.1.pcapng', 'lab-nflog-5.2.pcapng', 'lab-nflog-5.pcapng'])
    for (const age of ['.1', '.2']) {
      expect(statSync(path(age)).size).toBeGreaterThanOrEqual(65_536)
      expect(statSync(path(age)).size).toBeLessThan(65_536 + 1100)
    }
  })

  it('are one file that begins anew, where one is allowed', async () => {
    const directory = temporaryDirectory()
    const bed = new LogBed(RULE, { directory, files: 1, fileBytes: 65_536 })
    for (let each = 0; each < 100; each++) bed.pass(packet)
    bed.writer.drain()
    await bed.writer.stop()
    expect(readdirSync(directory)).toEqual(['lab-nflog-5.pcapng'])
    expect(statSync(join(directory, 'lab-nflog-5.pcapng')).size).toBeLessThan(65_536)
  })

  it('that cannot be written are told of once, and the packets counted as lost', async () => {
    const directory = temporaryDirectory()
    const gone = join(directory, 'gone')
    const bed = new LogBed(RULE, { directory: gone })
    rmdirSync(gone)
    for (let each = 0; each < 3; each++) bed.pass(packet)
    bed.writer.drain()
    expect(bed.writer).toMatchObject({ packets: 0, lost: 3 })
    expect(bed.lines.map(({ msg }) => msg)).toEqual(['packets of NFLOG rules cannot be written to their file', 'packets that rules logged were lost'])
    await bed.writer.stop()
  })

  it('that no directory can be made for keep the gateway from starting', () => {
    const file = join(temporaryDirectory(), 'file')
    writeFileSync(file, '')
    expect(() => new LogBed(RULE, { directory: join(file, 'below') })).toThrow(expect.objectContaining({ code: 'NFLOG_DIRECTORY', exitCode: 78 }))
  })
})
