import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import { tsnat } from './harness.js'

const HAND = ['deterministic', '--inside', '10.77.0.0/28', '--outside', '203.0.113.1', '--dynamic', '2'] as const

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsnat-deterministic-'))
  writeFileSync(join(folder, 'with.yaml'), 'wan: eth0\nwanAddress: {owned: [203.0.113.1/24, 203.0.113.2/24]}\nnat: {deterministic: {inside: 10.77.0.0/28, reserved: 2048}}\n')
  writeFileSync(join(folder, 'without.yaml'), 'wan: eth0\n')
})
afterAll(() => rmSync(folder, { recursive: true }))
const file = (name: string): string => join(folder, name)

describe('tsnat deterministic', () => {
  it('DET-1: lists all hosts, in text and as JSON', async () => {
    const { out } = await tsnat(...HAND)
    const lines = out.trimEnd().split('\n')
    expect(lines).toHaveLength(14)
    expect(lines[0]).toBe('10.77.0.1        203.0.113.1 1024-5055')
    expect(lines[13]).toBe('10.77.0.14       203.0.113.1 53440-57471')
    const json = (await tsnat(...HAND, '--json')).out.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)
    expect(json[13]).toEqual({ inside: '10.77.0.14', outside: '203.0.113.1', first: 53440, last: 57471 })
  })

  it('DET-1: both functions', async () => {
    expect(await tsnat(...HAND, '10.77.0.2')).toMatchObject({ code: ExitCode.ok, out: '10.77.0.2        203.0.113.1 5056-9087\n', err: '' })
    expect((await tsnat(...HAND, '203.0.113.1:5055')).out).toBe('10.77.0.1        203.0.113.1 1024-5055\n')
    expect((await tsnat(...HAND, '203.0.113.1:5056', '--json')).out).toBe('{"inside":"10.77.0.2","outside":"203.0.113.1","first":5056,"last":9087}\n')
    expect((await tsnat(...HAND, '--reserved', '16384', '10.77.0.1')).out).toBe('10.77.0.1        203.0.113.1 16384-19455\n')
  })

  it.each([
    ['10.77.0.15', '10.77.0.15 is no host of 10.77.0.0/28'],
    ['203.0.113.2:5000', '203.0.113.2 is not one of the outside addresses'],
    ['203.0.113.1:1000', 'port 1000 of 203.0.113.1 is no host\'s own: it is reserved'],
    ['203.0.113.1:60000', 'port 60000 of 203.0.113.1 is no host\'s own: it is given by the block; the log says to whom'],
  ])('says why %s is nobody\'s', async (asked, message) => {
    const { code, err } = await tsnat(...HAND, asked)
    expect([code, err.split('\n')[0]]).toEqual([ExitCode.failure, `tsnat: ${message}`])
  })

  it('a port that is left over', async () => {
    const { err } = await tsnat('deterministic', '--inside', '10.0.0.0/29', '--outside', '203.0.113.1', '--reserved', '1025', '203.0.113.1:65535')
    expect(err).toContain('it is left over')
  })

  it('takes the values from a configuration', async () => {
    expect((await tsnat('deterministic', '--config', file('with.yaml'), '10.77.0.8')).out).toBe('10.77.0.8        203.0.113.2 2048-11116\n')
    const { code, err } = await tsnat('deterministic', '-c', file('without.yaml'))
    expect([code, err.includes('says nothing of deterministic NAT')]).toEqual([ExitCode.usage, true])
  })

  it.each([
    [[], 'neither --config nor both of --inside and --outside are given'],
    [['--inside', '10.77.0.0', '--outside', '203.0.113.1'], '--inside 10.77.0.0 is not a network'],
    [['--inside', '10.77.0.0/28', '--outside', '203.0.113'], '--outside 203.0.113 is not a list of addresses'],
    [['--inside', '10.0.0.0/8', '--outside', '203.0.113.1'], '16777214 hosts on 1 address leave no port for each'],
    [['--inside', '10.77.0.0/28', '--outside', '203.0.113.1', 'eth0'], 'eth0 is neither an address nor an address with a port'],
    [['--inside', '10.77.0.0/28', '--outside', '203.0.113.1', '203.0.113.1:99999'], '203.0.113.1:99999 is neither an address nor an address with a port'],
    [['--config', 'x.yaml', '--inside', '10.77.0.0/28'], '--config and the options that describe the NAT cannot go together'],
    [['--per-host', '70000'], 'must be a whole number from 0 to 65535'],
  ])('refuses %s', async (args, message) => {
    const { code, err } = await tsnat('deterministic', ...args)
    expect(code).toBe(ExitCode.usage)
    expect(err).toContain(message)
  })
})
