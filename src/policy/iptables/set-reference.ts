/** How rules name a set of ipset, and the parts of a packet that are looked up in it. */
import type { SetReference } from '../model.js'
import { syntaxError, unknownWord } from './error.js'
import type { GivenOption } from './options.js'
import { parseName } from './values.js'

/** Bytes of a set's name; parts of an element. */
const NAME_MAX = 31
const PARTS_MAX = 6
const DIRECTIONS = ['src', 'dst'] as const

export const parseSetReference = ({ args }: GivenOption): SetReference => {
  const [nameWord, directionsWord] = args
  const directions = directionsWord!.text.split(',').map((text) => {
    const direction = DIRECTIONS.find((each) => each === text)
    if (direction === undefined) throw unknownWord(directionsWord!, 'direction', DIRECTIONS, text)
    return direction
  })
  if (directions.length > PARTS_MAX) throw syntaxError(directionsWord!, `${directions.length} directions are too many`, `at most ${PARTS_MAX}`)
  return { name: parseName(nameWord!, 'the name of the set', NAME_MAX), directions }
}

export const setReferenceText = ({ name, directions }: SetReference): string => `${name} ${directions.join(',')}`
