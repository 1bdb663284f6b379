import { describe, expect, it } from 'vitest'
import { answerQuery } from '../../../src/cli/demo/dns.js'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
/** host-7.example.test, A, IN, recursion desired. */
const question = '06 686f73742d37 07 6578616d706c65 04 74657374 00 0001 0001'
const query = hex(`1234 0100 0001 0000 0000 0000 ${question}`)

describe('answerQuery', () => {
  it('answers an A query, byte for byte', () => {
    expect(answerQuery(query)).toEqual(hex(`1234 8500 0001 0001 0000 0000 ${question} c00c 0001 0001 0000003c 0004 c6336407`))
  })

  it('drops an OPT record of the query, and takes names in any case', () => {
    const upper = Buffer.concat([query, hex('00 0029 1000 00000000 0000')])
    upper[11] = 1
    upper[13] = 0x48
    expect(answerQuery(upper)).toEqual(hex(`1234 8500 0001 0001 0000 0000 06 486f73742d37 07 6578616d706c65 04 74657374 00 0001 0001 c00c 0001 0001 0000003c 0004 c6336407`))
  })

  it('has no address for other types, and says which names do not exist', () => {
    const mx = Buffer.from(query)
    mx[query.length - 3] = 15
    expect(answerQuery(mx)?.readUInt32BE(4)).toBe(0x00010000)
    const unknown = Buffer.from(query)
    unknown[18] = 0x78
    expect(answerQuery(unknown)?.readUInt16BE(2)).toBe(0x8503)
    const beyond = hex('1234 0100 0001 0000 0000 0000 08 686f73742d323536 07 6578616d706c65 04 74657374 00 0001 0001')
    expect(answerQuery(beyond)?.readUInt16BE(2)).toBe(0x8503)
  })

  it('ignores what is not a query of one question', () => {
    expect(answerQuery(query.subarray(0, 11))).toBeNull()
    expect(answerQuery(query.subarray(0, query.length - 1))).toBeNull()
    expect(answerQuery(query.subarray(0, 16))).toBeNull()
    const response = Buffer.from(query)
    response[2] = 0x84
    expect(answerQuery(response)).toBeNull()
    const two = Buffer.from(query)
    two[5] = 2
    expect(answerQuery(two)).toBeNull()
    const pointer = Buffer.from(query)
    pointer[12] = 0xc0
    expect(answerQuery(pointer)).toBeNull()
  })
})
