[
  inputs: ["{mix,.formatter}.exs", "{lib,test,bench,ci}/**/*.{ex,exs}"]
]
