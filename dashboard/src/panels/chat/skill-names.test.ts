import { expect, test } from 'vitest'
import { matchingSkills } from './skill-names'

test('a command that is being typed means the skills whose names hold it', () => {
  const skills = ['house-style', 'release', 'slides'].map((name) => ({ name }))
  const check = (text: string, names: string[]) =>
    expect(matchingSkills(text, skills).map(({ name }) => name)).toEqual(names)
  check('', [])
  check('release', [])
  check('/', ['house-style', 'release', 'slides'])
  check('/skill:', ['house-style', 'release', 'slides'])
  check('/ski', ['house-style', 'release', 'slides'])
  check('/rel', ['release'])
  check('/skill:S', ['slides', 'house-style', 'release'])
  check('/skill:sl', ['slides'])
  check('/skill:release ', [])
  check('/skill:release now', [])
  check('/none', [])
  check('/usr/bin', [])
})
