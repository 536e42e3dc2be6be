-- What fails fails alone: `answer` is an error, unless it is `fine`.
if not fine and type(answer) == 'string' then
  answer = { err = answer }
end
