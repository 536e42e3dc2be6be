-- Several of acquire.lua that read: lease, holder, look_every, queue, read, touch_every, keep,
-- channel; and each one's ticket.
--#include base
--#include store
local length, holder, every, keep = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[7]), tonumber(ARGV[8])

local function quick(A, L, ticket)
  --#include granted
end

local function alone(KEYS, ARGV)
  --#include acquire
end

local answers = {}
for number = 1, #KEYS / 3 do
  local at = 3 * number - 2
  local ticket = ARGV[9 + number]
  local fine, answer = pcall(quick, KEYS[at], KEYS[at + 2], ticket)
  if not fine or not answer then
    local own = {
      ARGV[1], ticket, ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], '',
    }
    fine, answer = pcall(alone, { KEYS[at], KEYS[at + 1], KEYS[at + 2] }, own)
    --#include caught
  end
  answers[number] = answer
end
return answers
