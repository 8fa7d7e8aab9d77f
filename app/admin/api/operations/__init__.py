"""Operations of administrators on an open connection. They know no HTTP; what calls them holds the transaction."""
