-- Several of write.lua: release; and each one's id, stamp, payload and hold.
--#include base
--#include store

local function quick(A, L, id, ARGV)
  --#include written
end

local function alone(KEYS, ARGV)
  --#include write
end

local answers = {}
for number = 1, #KEYS / 3 do
  local at = 3 * number - 2
  local own = { ARGV[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, ARGV[2], '0' }
  for index = 2, 10 do
    own[index] = ARGV[9 * number + index - 8]
  end
  local fine, answer = pcall(quick, KEYS[at], KEYS[at + 2], own[2], own)
  if not fine or not answer then
    fine, answer = pcall(alone, { KEYS[at], KEYS[at + 1], KEYS[at + 2] }, own)
    --#include caught
  end
  answers[number] = answer
end
return answers
